# Prometheus with the mesh's targets and rules.

terraform {
  required_version = ">= 1.9"
}

module "host" {
  source = "../host"

  name      = var.name
  ssh_keys  = var.ssh_keys
  data_disk = true
  packages  = ["prometheus"]
  services = {
    sluice-prometheus = templatefile("${path.module}/files/sluice-prometheus.service.tftpl", {
      hardening = file("${path.module}/../host/files/hardening.conf")
    })
  }
  files = merge(
    {
      "/etc/sluice/prometheus/prometheus.yml" = {
        content = templatefile("${path.module}/files/prometheus.yml.tftpl", { jobs = keys(var.targets) })
      }
      "/etc/sluice/prometheus/rules.yml" = { content = file("${path.module}/files/rules.yml") }
    },
    { for job, text in var.targets : "/etc/sluice/prometheus/targets/${job}.json" => { content = text } },
  )
  # The package's own unit would take the port.
  commands = ["systemctl disable --now prometheus.service"]
}

locals {
  rules = length(var.admin_cidrs) == 0 ? [] : [
    { name = "ssh", protocol = "tcp", from = 22, to = 22, sources = { for cidr in var.admin_cidrs : cidr => cidr } },
  ]
}
