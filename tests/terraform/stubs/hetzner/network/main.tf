# Stands for modules/hetzner/network where no provider can be had: the same inputs and outputs, with addresses that
# are not known before they are applied, as a cloud's are not.

variable "name" {
  description = "What it is called."
  type        = string
}

variable "region" {
  description = "A location, or a network zone when the place is in several locations."
  type        = string
}

variable "cidr" {
  description = "The addresses of all subnets."
  type        = string
}

variable "subnets" {
  description = "The addresses of each location: the same for all."
  type        = map(string)
}

output "network" {
  value = {
    id      = terraform_data.network.output
    subnets = { for zone, cidr in var.subnets : zone => "${terraform_data.network.output} ${cidr}" }
  }
}

resource "terraform_data" "network" {
  input = "network of ${var.name} in ${var.region}, ${var.cidr}"
}
