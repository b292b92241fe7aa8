# The network of one place on AWS: a subnet in each zone, open to the internet both ways. What comes
# in is decided at each machine.

variable "name" {
  description = "What it is called."
  type        = string
}

variable "region" {
  description = "The region of AWS."
  type        = string
}

variable "cidr" {
  description = "The addresses of all subnets."
  type        = string
}

variable "subnets" {
  description = "The addresses of each zone."
  type        = map(string)
}

resource "aws_vpc" "this" {
  region               = var.region
  cidr_block           = var.cidr
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# Nothing is in the group that machines get when none is named.
resource "aws_default_security_group" "this" {
  region = var.region
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-unused" }
}

resource "aws_internet_gateway" "this" {
  region = var.region
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "zone" {
  for_each = var.subnets

  region            = var.region
  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "this" {
  region = var.region
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "zone" {
  for_each = aws_subnet.zone

  region         = var.region
  subnet_id      = each.value.id
  route_table_id = aws_route_table.this.id
}

output "network" {
  description = "The network's id, and its subnets' by zone."
  value = {
    id      = aws_vpc.this.id
    subnets = { for zone, subnet in aws_subnet.zone : zone => subnet.id }
  }
}
