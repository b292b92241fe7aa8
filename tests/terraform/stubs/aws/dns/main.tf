# Stands for modules/aws/dns where no provider can be had: the same inputs and outputs, with addresses that
# are not known before they are applied, as a cloud's are not.

variable "zone" {
  description = "The hosted zone's name."
  type        = string
}

variable "records" {
  description = "As modules/records gives them."
  type = map(object({
    name           = string
    addresses      = list(string)
    ttl            = number
    latency_region = optional(string)
    probe          = optional(string)
  }))
}

variable "probe_port" {
  description = "Where edges say by HTTPS whether they are ready, by the name of the edge."
  type        = map(number)
}

resource "terraform_data" "record" {
  for_each = var.records

  input = "${each.key} in ${var.zone}, probed at ${each.value.probe == null ? 0 : var.probe_port[each.value.probe]}"
}
