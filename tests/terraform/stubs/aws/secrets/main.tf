# Stands for modules/aws/secrets where no provider can be had: the same inputs and outputs, with addresses that
# are not known before they are applied, as a cloud's are not.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "machines" {
  description = "By machine with secrets: the region of AWS."
  type        = map(string)
}

output "secrets" {
  value = {
    for name, region in var.machines : name => {
      id      = "sluice/${var.mesh}/${name}"
      region  = region
      profile = "sluice-${var.mesh}-${name}"
    }
  }
}
