# Stands for modules/hetzner/machines where no provider can be had: the same inputs and outputs, with addresses that
# are not known before they are applied, as a cloud's are not.

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
}

locals {
  rules = merge([
    for name, machine in var.machines : merge([
      for rule in machine.rules : {
        for source, cidr in rule.sources : "${name} ${rule.name} ${source}" => merge(rule, { source = cidr })
      }
    ]...)
  ]...)
}

resource "terraform_data" "rule" {
  for_each = local.rules

  input = "${var.mesh} ${each.value.protocol} ${each.value.from}-${each.value.to} ${each.value.source}"
}

resource "terraform_data" "machine" {
  for_each = var.machines

  input = [var.region, var.network.subnets[each.value.zone], each.value]
}

output "ids" {
  value = { for name, machine in terraform_data.machine : name => machine.id }
}

output "disks" {
  value = { for name, machine in var.machines : name => "disk of ${name}" if machine.data_gb > 0 }
}
