# A region's coturn: its unit, its configuration and what its firewall lets in.

terraform {
  required_version = ">= 1.9"
}

module "host" {
  source = "../host"

  name     = var.name
  ssh_keys = var.ssh_keys
  packages = ["coturn"]
  services = {
    sluice-turn = templatefile("${path.module}/files/sluice-turn.service.tftpl", {
      name      = var.name
      hardening = file("${path.module}/../host/files/hardening.conf")
    })
  }
  files = {
    "/etc/sluice/turnserver.conf" = { content = replace(var.config, "@EXTERNAL_IP@", var.address) }
    "/usr/local/lib/sluice/turn-config" = {
      content = file("${path.module}/files/turn-config.sh")
      mode    = "0755"
    }
  }
  # The package's own unit would take the ports.
  commands = ["systemctl disable --now coturn.service"]
  sysctl = {
    "net.core.rmem_max" = "33554432"
    "net.core.wmem_max" = "33554432"
  }
  secrets = merge(var.secrets, { names = ["turn-secret", "tls/cert.pem", "tls/key.pem"] })
}

locals {
  anywhere = { anywhere = "0.0.0.0/0" }
  rules = concat(
    flatten([
      for port in concat([var.port], var.tls_ports) : [
        for protocol in ["udp", "tcp"] :
        { name = "turn-${port}-${protocol}", protocol = protocol, from = port, to = port, sources = local.anywhere }
      ]
    ]),
    [
      # What is relayed comes from edges only, and nobody else may use the relay as a way in.
      {
        name    = "relay", protocol = "udp", from = var.relay_ports[0], to = var.relay_ports[1]
        sources = { for name, address in var.edge_addresses : name => "${address}/32" }
      },
    ],
    length(var.monitoring_addresses) == 0 ? [] : [
      {
        name    = "metrics", protocol = "tcp", from = var.metrics_port, to = var.metrics_port
        sources = { for name, address in var.monitoring_addresses : name => "${address}/32" }
      },
    ],
    length(var.admin_cidrs) == 0 ? [] : [
      { name = "ssh", protocol = "tcp", from = 22, to = 22, sources = { for cidr in var.admin_cidrs : cidr => cidr } },
    ],
  )
}
