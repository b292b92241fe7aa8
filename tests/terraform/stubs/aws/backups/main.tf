# Stands for modules/aws/backups where no provider can be had: the same inputs and outputs, with addresses that
# are not known before they are applied, as a cloud's are not.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "region" {
  description = "The region of AWS."
  type        = string
}

variable "keep" {
  description = "How many there are at once; one is made every hour."
  type        = number
  default     = 48
}

resource "terraform_data" "policy" {
  input = "${var.mesh} in ${var.region}, ${var.keep}"
}
