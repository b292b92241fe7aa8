# Which machines there are, and where. Nothing here is of a provider, and nothing depends on the
# order in which regions or edges were added: what runs stays where it is.

terraform {
  required_version = ">= 1.9"
}

locals {
  # Places are not joined by a private network, so each may use the same addresses.
  cidr = "10.64.0.0/16"

  hired = { for name, region in var.regions : name => region if region.cloud != null }

  places = merge(
    {
      for name, region in local.hired : name => {
        provider = region.cloud.provider
        region   = region.cloud.region
        zones    = region.cloud.provider == "aws" ? region.cloud.zones : [region.cloud.region]
      }
    },
    {
      control = {
        provider = var.control.provider
        region   = var.control.region
        zones    = var.control.zones
      }
    },
  )

  # On AWS a zone's letter gives its subnet. Hetzner Cloud has one subnet for a whole network zone.
  letters = ["a", "b", "c", "d", "e", "f"]
  subnets = {
    for name, place in local.places : name => place.provider == "aws" ? {
      for zone in place.zones :
      zone => cidrsubnet(local.cidr, 8, index(local.letters, trimprefix(zone, place.region)))
      } : {
      for zone in place.zones : zone => cidrsubnet(local.cidr, 8, 0)
    }
  }

  # The number in an edge's name deals it to a zone; a name without one, its place among the names.
  edges = merge([
    for region, it in local.hired : {
      for name, edge in it.edges : name => {
        role    = "edge"
        place   = region
        region  = region
        type    = it.cloud.edge_type
        address = edge.address
        data_gb = 0
        zone = local.places[region].zones[
          try(tonumber(regex("-([0-9]{1,9})$", name)[0]) - 1, index(sort(keys(it.edges)), name)) % length(local.places[region].zones)
        ]
        private_address = null
      }
    }
  ]...)

  turns = {
    for region, it in local.hired : "turn-${region}" => {
      role            = "turn"
      place           = region
      region          = region
      type            = it.cloud.turn_type
      address         = it.turn.address
      data_gb         = 0
      zone            = local.places[region].zones[0]
      private_address = null
    } if it.turn != null
  }

  coordinators = {
    for n, zone in var.control.zones : "coordinator-${n + 1}" => {
      role    = "coordinator"
      place   = "control"
      region  = null
      type    = var.control.type
      address = null
      data_gb = var.control.data_gb
      zone    = zone
      # etcd's members know each other by address. The first four are the network's own on AWS.
      private_address = cidrhost(local.subnets["control"][zone], 10 + n)
    }
  }

  monitoring = var.monitoring_type == null ? {} : {
    monitoring = {
      role            = "monitoring"
      place           = "control"
      region          = null
      type            = var.monitoring_type
      address         = null
      data_gb         = 20
      zone            = var.control.zones[0]
      private_address = null
    }
  }

  machines = {
    for name, machine in merge(local.edges, local.turns, local.coordinators, local.monitoring) :
    name => merge(machine, {
      provider = local.places[machine.place].provider
      cloud    = local.places[machine.place].region
    })
  }
}
