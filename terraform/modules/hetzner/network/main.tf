# The private network of one place on Hetzner Cloud: one subnet for a whole network zone.

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

locals {
  network_zones = {
    fsn1 = "eu-central", nbg1 = "eu-central", hel1 = "eu-central"
    ash  = "us-east", hil = "us-west", sin = "ap-southeast"
  }
}

resource "hcloud_network" "this" {
  name     = var.name
  ip_range = var.cidr
}

resource "hcloud_network_subnet" "this" {
  network_id   = hcloud_network.this.id
  type         = "cloud"
  network_zone = lookup(local.network_zones, var.region, var.region)
  ip_range     = one(distinct(values(var.subnets)))
}

output "network" {
  description = "The network's id, and its subnets' by location."
  value = {
    id      = hcloud_network.this.id
    subnets = { for location in keys(var.subnets) : location => hcloud_network_subnet.this.id }
  }
}
