# One edge: its unit, its configuration and what its firewall lets in.

terraform {
  required_version = ">= 1.9"
}

module "host" {
  source = "../host"

  name     = var.name
  ssh_keys = var.ssh_keys
  services = {
    sluice-edge = templatefile("${path.module}/files/sluice-edge.service.tftpl", {
      name         = var.name
      address      = var.address
      stop_s       = var.drain_s + 15
      coordinators = join(",", var.coordinators)
      acme_names   = join(",", var.acme_names)
      environment  = var.environment
      hardening    = file("${path.module}/../host/files/hardening.conf")
    })
  }
  files = {
    "/etc/sluice/edge.toml" = { content = var.config }
  }
  downloads = {
    "/usr/local/bin/sluice" = {
      url    = replace(var.binary.url, "{version}", var.binary.version)
      sha256 = var.binary.sha256
      mode   = "0755"
    }
  }
  sysctl = {
    # Each media worker asks for 4 MiB in each direction, QUIC for what it is given.
    "net.core.rmem_max"           = "33554432"
    "net.core.wmem_max"           = "33554432"
    "net.core.rmem_default"       = "4194304"
    "net.core.wmem_default"       = "4194304"
    "net.core.netdev_max_backlog" = "16384"
    "net.ipv4.udp_mem"            = "262144 524288 1048576"
  }
  secrets = merge(var.secrets, {
    names = concat(
      ["mesh/ca.pem", "mesh/cert.pem", "mesh/key.pem"],
      length(var.acme_names) == 0 ? ["tls/cert.pem", "tls/key.pem"] : ["acme/account-key.pem"],
    )
  })
}

locals {
  anywhere = { anywhere = "0.0.0.0/0" }
  rules = concat(
    [
      { name = "signalling", protocol = "tcp", from = var.ports.signal, to = var.ports.signal, sources = local.anywhere },
      { name = "ice-tcp", protocol = "tcp", from = var.ports.ice_tcp, to = var.ports.ice_tcp, sources = local.anywhere },
      { name = "media", protocol = "udp", from = var.ports.media, to = var.ports.media + var.workers - 1, sources = local.anywhere },
      {
        name    = "backbone", protocol = "udp", from = var.ports.backbone, to = var.ports.backbone
        sources = { for name, address in var.edge_addresses : name => "${address}/32" if name != var.name }
      },
    ],
    length(var.acme_names) == 0 ? [] : [
      # Authorities ask from anywhere, and at this port alone.
      { name = "acme", protocol = "tcp", from = 80, to = 80, sources = local.anywhere },
    ],
    length(var.admin_cidrs) == 0 ? [] : [
      { name = "ssh", protocol = "tcp", from = 22, to = 22, sources = { for cidr in var.admin_cidrs : cidr => cidr } },
    ],
  )
}
