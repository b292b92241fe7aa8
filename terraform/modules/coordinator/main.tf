# One coordinator, and the member of etcd beside it that it keeps its state in when there is one.

terraform {
  required_version = ">= 1.9"
}

module "host" {
  source = "../host"

  name      = var.name
  ssh_keys  = var.ssh_keys
  data_disk = true
  packages  = length(var.etcd) == 0 ? [] : ["etcd-server", "etcd-client"]
  services = merge(
    var.active ? {
      sluice-coordinator = templatefile("${path.module}/files/sluice-coordinator.service.tftpl", {
        name        = var.name
        environment = merge(local.geoip_setting, local.store_setting, var.environment)
        hardening   = file("${path.module}/../host/files/hardening.conf")
      })
    } : {},
    length(var.etcd) == 0 ? {} : {
      sluice-etcd = templatefile("${path.module}/files/sluice-etcd.service.tftpl", {
        name      = var.name
        address   = var.etcd[var.name]
        cluster   = local.cluster
        hardening = file("${path.module}/../host/files/hardening.conf")
      })
    },
  )
  # The package's own unit would take the ports.
  commands = length(var.etcd) == 0 ? [] : ["systemctl disable --now etcd.service"]
  files = merge(
    { "/etc/sluice/coordinator.toml" = { content = var.config } },
    { for path, text in var.topology : "/etc/sluice/topology/${path}" => { content = text } },
  )
  downloads = merge(
    {
      "/usr/local/bin/sluice" = {
        url    = replace(var.binary.url, "{version}", var.binary.version)
        sha256 = var.binary.sha256
        mode   = "0755"
      }
    },
    { for name, it in var.geoip : "/usr/local/share/sluice/${name}" => merge(it, { mode = "0644" }) },
  )
  secrets = merge(var.secrets, {
    names = concat(
      ["mesh/ca.pem", "mesh/cert.pem", "mesh/key.pem"],
      var.acme ? ["acme/account-key.pem"] : ["tls/cert.pem", "tls/key.pem"],
      ["env"],
      length(var.etcd) == 0 ? [] : ["etcd/ca.pem", "etcd/cert.pem", "etcd/key.pem"],
    )
  })
}

locals {
  geoip_setting = length(var.geoip) == 0 ? {} : {
    SLUICE_GEOIP = join(",", [for name in keys(var.geoip) : "/usr/local/share/sluice/${name}"])
  }

  # The member beside it. Settings of the environment come before the file's store.
  store_setting = length(var.etcd) == 0 ? {} : {
    SLUICE_ETCD_ENDPOINTS = "http://127.0.0.1:2379"
    SLUICE_ETCD_PREFIX    = "sluice/"
    SLUICE_NAME           = var.name
  }

  # Members are named by address: etcd checks a peer's certificate against it.
  cluster = join(",", [for name, address in var.etcd : "${name}=https://${address}:2380"])

  anywhere = { anywhere = "0.0.0.0/0" }
  rules = concat(
    [
      { name = "rest", protocol = "tcp", from = var.public_port, to = var.public_port, sources = local.anywhere },
      {
        name    = "control", protocol = "udp", from = var.control_port, to = var.control_port
        sources = { for name, address in var.edge_addresses : name => "${address}/32" }
      },
    ],
    # Authorities ask from anywhere, and at this port alone.
    var.acme ? [{ name = "acme", protocol = "tcp", from = 80, to = 80, sources = local.anywhere }] : [],
    length(var.etcd) < 2 ? [] : [
      {
        name    = "etcd", protocol = "tcp", from = 2380, to = 2380
        sources = { for name, address in var.etcd : name => "${address}/32" if name != var.name }
      },
    ],
    length(var.admin_cidrs) == 0 ? [] : [
      { name = "ssh", protocol = "tcp", from = 22, to = 22, sources = { for cidr in var.admin_cidrs : cidr => cidr } },
    ],
  )
}
