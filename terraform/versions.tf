terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.10, < 7"
    }
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.58"
    }
  }
}

# Credentials come from the environment: AWS_… and HCLOUD_TOKEN. Each resource names its own region;
# this one is for what has none.
provider "aws" {
  region = var.aws_region

  default_tags {
    tags = { Mesh = var.mesh.name }
  }
}

provider "hcloud" {
  # A mesh on AWS alone needs no account at Hetzner, but the provider wants 64 characters.
  token = var.hcloud_token
}
