# Every DNS record of the mesh. Latency is told from where resolvers are to regions of AWS, so each
# place of another cloud is taken for the region of AWS that is nearest to it.

terraform {
  required_version = ">= 1.9"
}

locals {
  nearest = {
    fsn1 = "eu-central-1", nbg1 = "eu-central-1", hel1 = "eu-north-1", eu-central = "eu-central-1"
    ash  = "us-east-1", us-east = "us-east-1", hil = "us-west-2", us-west = "us-west-2"
    sin  = "ap-southeast-1", ap-southeast = "ap-southeast-1"
  }

  is_address = "^[0-9.]+$|:"

  # Regions with machines of ours: the others' addresses are known to their operators alone.
  hired = { for name, region in var.regions : name => region if region.cloud != null }
  latency_regions = {
    for name, region in local.hired : name => region.cloud.provider == "aws" ? region.cloud.region : lookup(local.nearest, region.cloud.region, null)
  }

  edges = merge([
    for region in local.hired : {
      for name, edge in region.edges : edge.host => [var.addresses[name]] if !can(regex(local.is_address, edge.host))
    }
  ]...)

  turns = {
    for name, region in local.hired : region.turn.host => [var.addresses["turn-${name}"]]
    if region.turn == null ? false : !can(regex(local.is_address, region.turn.host))
  }

  # An edge may have the region's name for its own, and keeps it.
  names = merge([
    for region in local.hired : {
      for name in region.dns : name => [for edge in sort(keys(region.edges)) : var.addresses[edge]]
    }
  ]...)

  plain = {
    for name, addresses in merge(local.names, local.edges, local.turns) : name => {
      name           = name
      addresses      = addresses
      latency_region = null
      probe          = null
    }
  }

  pages = var.page_name == null ? {} : {
    for name, region in local.hired : "${var.page_name} ${name}" => {
      name           = var.page_name
      addresses      = [for edge in sort(keys(region.edges)) : var.addresses[edge]]
      latency_region = local.latency_regions[name]
      # The first edge stands for its region: when it is not ready, others are nearer.
      probe = region.edges[sort(keys(region.edges))[0]].host
    } if local.latency_regions[name] != null
  }

  api_regions = {
    for name, place in var.coordinators :
    (place.provider == "aws" ? place.region : lookup(local.nearest, place.region, "us-east-1")) => var.addresses[name]...
  }
  api = can(regex(local.is_address, var.api_name)) ? {} : {
    for region, addresses in local.api_regions : "${var.api_name} ${region}" => {
      name           = var.api_name
      addresses      = sort(addresses)
      latency_region = region
      probe          = null
    }
  }

  all = {
    for key, record in merge(local.plain, local.pages, local.api) : key => merge(record, { ttl = var.ttl })
  }
  within = var.zone == null ? {} : {
    for key, record in local.all : key => record if record.name == var.zone || endswith(record.name, ".${var.zone}")
  }
}
