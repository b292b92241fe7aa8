# Fixed public addresses of machines on AWS. They outlive the machines.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "machines" {
  description = "By machine: the region of AWS, and the address when it is held already."
  type = map(object({
    cloud   = string
    zone    = string
    address = optional(string)
  }))
}

resource "aws_eip" "machine" {
  for_each = { for name, machine in var.machines : name => machine if machine.address == null }

  region = each.value.cloud
  domain = "vpc"
  tags   = { Name = "${var.mesh}-${each.key}" }

}

data "aws_eip" "held" {
  for_each = { for name, machine in var.machines : name => machine if machine.address != null }

  region    = each.value.cloud
  public_ip = each.value.address
}

output "addresses" {
  description = "Public addresses by machine."
  value = merge(
    { for name, address in aws_eip.machine : name => address.public_ip },
    { for name, address in data.aws_eip.held : name => address.public_ip },
  )
}

output "ids" {
  description = "The cloud's ids of the addresses by machine."
  value = merge(
    { for name, address in aws_eip.machine : name => address.id },
    { for name, address in data.aws_eip.held : name => address.id },
  )
}
