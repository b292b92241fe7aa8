output "places" {
  description = "Each region with machines, and `control`: provider, its region, and subnets by zone."
  value = {
    for name, place in local.places : name => {
      provider = place.provider
      region   = place.region
      cidr     = local.cidr
      subnets  = local.subnets[name]
    }
  }
}

output "machines" {
  description = "Every machine by name: role, place, provider, cloud (the provider's region), zone, type, fixed addresses if known, size of its data disk."
  value       = local.machines

  precondition {
    condition     = length(local.machines) == length(local.edges) + length(local.turns) + length(local.coordinators) + length(local.monitoring)
    error_message = "Two machines have one name."
  }
}
