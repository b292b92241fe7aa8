# Machines of one place on Hetzner Cloud, each with its firewall, address and perhaps a data disk.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "region" {
  description = "A location, or a network zone. Unused: each machine has its location as zone."
  type        = string
}

variable "network" {
  description = "As modules/hetzner/network gives it."
  type = object({
    id      = string
    subnets = map(string)
  })
}

variable "machines" {
  description = "By name: type, zone, fixed private address, GB of the data disk (0 for none), the cloud's id of the public address, cloud-init, firewall, instance profile."
  type = map(object({
    type            = string
    zone            = string
    private_address = optional(string)
    data_gb         = number
    address_id      = string
    user_data       = string
    rules = list(object({
      name     = string
      protocol = string
      from     = number
      to       = number
      sources  = map(string)
    }))
    profile = optional(string)
  }))

  validation {
    # A rule takes 100 sources.
    condition     = alltrue([for machine in values(var.machines) : alltrue([for rule in machine.rules : length(rule.sources) <= 100])])
    error_message = "A rule has more than 100 sources, which is all that Hetzner Cloud takes."
  }
}

resource "hcloud_firewall" "machine" {
  for_each = var.machines

  name = "${var.mesh}-${each.key}"

  dynamic "rule" {
    # A rule without sources would not be one.
    for_each = [for rule in each.value.rules : rule if length(rule.sources) > 0]

    content {
      direction   = "in"
      description = rule.value.name
      protocol    = rule.value.protocol
      port        = rule.value.from == rule.value.to ? tostring(rule.value.from) : "${rule.value.from}-${rule.value.to}"
      source_ips  = values(rule.value.sources)
    }
  }
}

resource "hcloud_server" "machine" {
  for_each = var.machines

  name         = each.key
  server_type  = each.value.type
  image        = "debian-12"
  location     = each.value.zone
  user_data    = each.value.user_data
  firewall_ids = [hcloud_firewall.machine[each.key].id]
  labels       = { mesh = var.mesh }

  # systemd lets the edge drain. The address stays and waits for the next machine.
  shutdown_before_deletion = true

  public_net {
    ipv4_enabled = true
    ipv4         = tonumber(each.value.address_id)
    ipv6_enabled = false
  }

  network {
    subnet_id = var.network.subnets[each.value.zone]
    ip        = each.value.private_address
    # Without it each plan would detach and attach the network (terraform-provider-hcloud, issue 650).
    alias_ips = []
  }

  lifecycle {
    # A newer image alone is no reason to end calls: it comes with the next replacement.
    ignore_changes = [image]
  }
}

resource "hcloud_volume" "data" {
  for_each = { for name, machine in var.machines : name => machine if machine.data_gb > 0 }

  name     = "${var.mesh}-${each.key}"
  location = each.value.zone
  size     = each.value.data_gb

  lifecycle {
    prevent_destroy = true
  }
}

resource "hcloud_volume_attachment" "data" {
  for_each = hcloud_volume.data

  volume_id = each.value.id
  server_id = hcloud_server.machine[each.key].id
  automount = false
}

output "ids" {
  description = "The cloud's ids of the machines by name."
  value       = { for name, machine in hcloud_server.machine : name => tostring(machine.id) }
}

output "disks" {
  description = "The cloud's ids of data disks by machine."
  value       = { for name, volume in hcloud_volume.data : name => tostring(volume.id) }
}
