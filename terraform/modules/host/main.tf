# The cloud-init of one machine: what all machines have in common, and what its role adds.

terraform {
  required_version = ">= 1.9"
}

locals {
  secrets = var.secrets == null ? {} : {
    "/usr/local/lib/sluice/secrets" = {
      content = templatefile("${path.module}/files/secrets-${var.secrets.store}.sh.tftpl", {
        id     = var.secrets.id
        region = var.secrets.region
      })
      mode = "0755"
    }
    "/usr/local/lib/sluice/keep-secrets" = {
      content = templatefile("${path.module}/files/keep-secrets.py.tftpl", { names = var.secrets.names })
      mode    = "0755"
    }
    "/etc/systemd/system/sluice-secrets.service" = {
      content = file("${path.module}/files/sluice-secrets.service")
      mode    = "0644"
    }
  }

  downloads = length(var.downloads) == 0 ? {} : {
    "/usr/local/lib/sluice/download" = {
      content = file("${path.module}/files/download.sh")
      mode    = "0755"
    }
  }

  data_disk = var.data_disk ? {
    "/usr/local/lib/sluice/data-disk" = {
      content = file("${path.module}/files/data-disk.sh")
      mode    = "0755"
    }
  } : {}

  sysctl = length(var.sysctl) == 0 ? {} : {
    "/etc/sysctl.d/60-sluice.conf" = {
      content = join("", [for key, value in var.sysctl : "${key} = ${value}\n"])
      mode    = "0644"
    }
  }

  services = {
    for name, text in var.services : "/etc/systemd/system/${name}.service" => {
      content = text
      mode    = "0644"
    }
  }

  files = merge(local.secrets, local.downloads, local.data_disk, local.sysctl, local.services, var.files)

  packages = distinct(concat(
    ["ca-certificates", "curl", "unattended-upgrades"],
    var.secrets == null ? [] : var.secrets.store == "aws" ? ["awscli"] : [],
    var.packages,
  ))

  units = concat(var.secrets == null ? [] : ["sluice-secrets"], keys(var.services))

  commands = concat(
    ["set -eu"],
    length(var.sysctl) == 0 ? [] : ["sysctl --system"],
    var.data_disk ? ["/usr/local/lib/sluice/data-disk"] : [],
    [for path, it in var.downloads : "/usr/local/lib/sluice/download '${path}' '${it.url}' ${it.sha256} ${it.mode}"],
    var.commands,
    ["systemctl daemon-reload"],
    [for unit in local.units : "systemctl enable ${unit}.service"],
    # Secrets may not be there yet; each service waits for them.
    [for unit in local.units : "systemctl start --no-block ${unit}.service"],
  )

  cloud_init = {
    hostname        = var.name
    package_update  = true
    package_upgrade = true
    packages        = local.packages
    users = [
      "default",
      {
        name           = "sluice"
        system         = true
        no_create_home = true
        shell          = "/usr/sbin/nologin"
        lock_passwd    = true
      },
    ]
    ssh_authorized_keys = var.ssh_keys
    ssh_pwauth          = false
    disable_root        = var.secrets == null ? true : var.secrets.store != "pushed"
    write_files = [
      for path in sort(keys(local.files)) : {
        path        = path
        permissions = local.files[path].mode
        content     = local.files[path].content
      }
    ]
    # One script, so that a step that fails is the last.
    runcmd = [["/bin/sh", "-c", join("\n", local.commands)]]
  }
}
