# Fixed public addresses of machines on Hetzner Cloud. They outlive the machines.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "machines" {
  description = "By machine: the location, and the address when it is held already."
  type = map(object({
    cloud   = string
    zone    = string
    address = optional(string)
  }))
}

resource "hcloud_primary_ip" "machine" {
  for_each = { for name, machine in var.machines : name => machine if machine.address == null }

  name          = "${var.mesh}-${each.key}"
  type          = "ipv4"
  assignee_type = "server"
  location      = each.value.zone
  auto_delete   = false
}

data "hcloud_primary_ip" "held" {
  for_each = { for name, machine in var.machines : name => machine if machine.address != null }

  ip_address = each.value.address
}

output "addresses" {
  description = "Public addresses by machine."
  value = merge(
    { for name, address in hcloud_primary_ip.machine : name => address.ip_address },
    { for name, address in data.hcloud_primary_ip.held : name => address.ip_address },
  )
}

output "ids" {
  description = "The cloud's ids of the addresses by machine."
  value = merge(
    { for name, address in hcloud_primary_ip.machine : name => tostring(address.id) },
    { for name, address in data.hcloud_primary_ip.held : name => tostring(address.id) },
  )
}
