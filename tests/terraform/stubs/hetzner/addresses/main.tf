# Stands for modules/hetzner/addresses where no provider can be had: the same inputs and outputs, with addresses that
# are not known before they are applied, as a cloud's are not.

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

resource "terraform_data" "machine" {
  for_each = var.machines

  input = coalesce(each.value.address, cidrhost("198.51.100.0/24", index(sort(keys(var.machines)), each.key) + 1))
}

output "addresses" {
  value = { for name, address in terraform_data.machine : name => address.output }
}

output "ids" {
  value = { for name, address in terraform_data.machine : name => "10${index(sort(keys(var.machines)), name)}" }
}
