# Snapshots of the coordinators' data disks. A snapshot is what a power failure leaves, and the store
# is made for that.

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

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["dlm.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "snapshots" {
  name               = "sluice-${var.mesh}-snapshots"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "snapshots" {
  role       = aws_iam_role.snapshots.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole"
}

resource "aws_dlm_lifecycle_policy" "snapshots" {
  region             = var.region
  description        = "Stores of the coordinators of ${var.mesh}"
  execution_role_arn = aws_iam_role.snapshots.arn
  state              = "ENABLED"

  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { Snapshots = "${var.mesh}-hourly" }

    schedule {
      name      = "hourly"
      copy_tags = true

      create_rule {
        interval      = 1
        interval_unit = "HOURS"
      }
      retain_rule {
        count = var.keep
      }
    }
  }
}
