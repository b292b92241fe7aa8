# A secret for each machine on AWS, and the right to read its own. Values are put by operators, so
# that they are in no state and no plan.

variable "mesh" {
  description = "The mesh's name."
  type        = string
}

variable "machines" {
  description = "By machine with secrets: the region of AWS."
  type        = map(string)
}

resource "aws_secretsmanager_secret" "machine" {
  for_each = var.machines

  region                  = each.value
  name                    = "sluice/${var.mesh}/${each.key}"
  description             = "Certificates and secrets of ${each.key}"
  recovery_window_in_days = 7
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "read" {
  for_each = var.machines

  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.machine[each.key].arn]
  }
}

resource "aws_iam_role" "machine" {
  for_each = var.machines

  name               = "sluice-${var.mesh}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "read" {
  for_each = var.machines

  name   = "own-secret"
  role   = aws_iam_role.machine[each.key].id
  policy = data.aws_iam_policy_document.read[each.key].json
}

resource "aws_iam_instance_profile" "machine" {
  for_each = var.machines

  name = "sluice-${var.mesh}-${each.key}"
  role = aws_iam_role.machine[each.key].name
}

output "secrets" {
  description = "By machine: the secret's name and the profile that reads it."
  value = {
    for name, secret in aws_secretsmanager_secret.machine : name => {
      id      = secret.name
      region  = var.machines[name]
      profile = aws_iam_instance_profile.machine[name].name
    }
  }
}
