# Machines of one place on AWS, each with its firewall, address and perhaps a data disk.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "region" {
  description = "The region of AWS."
  type        = string
}

variable "network" {
  description = "As modules/aws/network gives it."
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

  validation {
    # AWS takes 60 in each direction unless asked for more; the port's rule for each edge is one.
    condition     = alltrue([for machine in values(var.machines) : sum([for rule in machine.rules : length(rule.sources)]) <= 60])
    error_message = "A machine has more than 60 rules: raise the quota of rules per security group, then this limit."
  }
}

locals {
  rules = merge([
    for name, machine in var.machines : merge([
      for rule in machine.rules : {
        for source, cidr in rule.sources : "${name} ${rule.name} ${source}" => merge(rule, { machine = name, source = cidr })
      }
    ]...)
  ]...)
}

data "aws_ami" "debian" {
  region      = var.region
  most_recent = true
  owners      = ["136693071363"]

  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

resource "aws_security_group" "machine" {
  for_each = var.machines

  region      = var.region
  name        = "${var.mesh}-${each.key}"
  description = "What reaches ${each.key} of ${var.mesh}"
  vpc_id      = var.network.id
  tags        = { Name = "${var.mesh}-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "machine" {
  for_each = local.rules

  region            = var.region
  security_group_id = aws_security_group.machine[each.value.machine].id
  description       = each.value.name
  ip_protocol       = each.value.protocol
  from_port         = each.value.from
  to_port           = each.value.to
  cidr_ipv4         = each.value.source
}

resource "aws_vpc_security_group_egress_rule" "machine" {
  for_each = var.machines

  region            = var.region
  security_group_id = aws_security_group.machine[each.key].id
  description       = "clients, other edges and the coordinator are anywhere"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

# The interface, and with it the address, stays when the machine is replaced: the old one can still
# speak to its clients while it drains.
resource "aws_network_interface" "machine" {
  for_each = var.machines

  region          = var.region
  subnet_id       = var.network.subnets[each.value.zone]
  private_ips     = each.value.private_address == null ? null : [each.value.private_address]
  security_groups = [aws_security_group.machine[each.key].id]
  tags            = { Name = "${var.mesh}-${each.key}" }
}

resource "aws_eip_association" "machine" {
  for_each = var.machines

  region               = var.region
  allocation_id        = each.value.address_id
  network_interface_id = aws_network_interface.machine[each.key].id
}

resource "aws_instance" "machine" {
  for_each = var.machines

  region                      = var.region
  ami                         = data.aws_ami.debian.id
  instance_type               = each.value.type
  iam_instance_profile        = each.value.profile
  user_data_base64            = each.value.user_data
  user_data_replace_on_change = true
  ebs_optimized               = true
  monitoring                  = true
  tags                        = { Name = "${var.mesh}-${each.key}" }

  primary_network_interface {
    network_interface_id = aws_network_interface.machine[each.key].id
  }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 16
    encrypted   = true
  }

  lifecycle {
    # A newer image alone is no reason to end calls: it comes with the next replacement.
    ignore_changes = [ami]
  }

  # Packages and the binary are fetched at the first start.
  depends_on = [aws_eip_association.machine, aws_vpc_security_group_egress_rule.machine]
}

resource "aws_ebs_volume" "data" {
  for_each = { for name, machine in var.machines : name => machine if machine.data_gb > 0 }

  region            = var.region
  availability_zone = each.value.zone
  size              = each.value.data_gb
  type              = "gp3"
  encrypted         = true
  # By these tags the snapshots find it.
  tags = { Name = "${var.mesh}-${each.key}", Snapshots = "${var.mesh}-hourly" }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "data" {
  for_each = aws_ebs_volume.data

  region      = var.region
  device_name = "/dev/sdf"
  volume_id   = each.value.id
  instance_id = aws_instance.machine[each.key].id
  # A machine that is replaced shuts down first, and lets go of its disk by that.
  stop_instance_before_detaching = true
}

output "ids" {
  description = "The cloud's ids of the machines by name."
  value       = { for name, machine in aws_instance.machine : name => machine.id }
}

output "disks" {
  description = "The cloud's ids of data disks by machine."
  value       = { for name, volume in aws_ebs_volume.data : name => volume.id }
}
