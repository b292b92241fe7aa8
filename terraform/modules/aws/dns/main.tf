# The mesh's records in Route 53.

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

data "aws_route53_zone" "this" {
  name = var.zone
}

resource "aws_route53_health_check" "probe" {
  for_each = { for key, record in var.records : key => record if record.probe != null }

  type              = "HTTPS"
  fqdn              = each.value.probe
  port              = var.probe_port[each.value.probe]
  resource_path     = "/readyz"
  enable_sni        = true
  request_interval  = 10
  failure_threshold = 3
  tags              = { Name = each.key }
}

resource "aws_route53_record" "plain" {
  for_each = { for key, record in var.records : key => record if record.latency_region == null }

  zone_id = data.aws_route53_zone.this.zone_id
  name    = each.value.name
  type    = "A"
  ttl     = each.value.ttl
  records = each.value.addresses
}

resource "aws_route53_record" "nearest" {
  for_each = { for key, record in var.records : key => record if record.latency_region != null }

  zone_id         = data.aws_route53_zone.this.zone_id
  name            = each.value.name
  type            = "A"
  ttl             = each.value.ttl
  records         = each.value.addresses
  set_identifier  = each.key
  health_check_id = try(aws_route53_health_check.probe[each.key].id, null)

  latency_routing_policy {
    region = each.value.latency_region
  }
}
