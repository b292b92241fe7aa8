output "records" {
  description = "The records within the zone: A records of `addresses`; those with a `latency_region` share their name and answer whoever is nearest, while `probe`, an edge's name, is ready."
  value       = local.within
}

output "outside" {
  description = "Names that are in another zone, and are to be made there."
  value       = sort(distinct([for key, record in local.all : record.name if !contains(keys(local.within), key)]))
}

output "zone_file" {
  description = "All records as lines of a zone file, for DNS that is not Terraform's. It has no latency: each name has all its addresses."
  value = join("", sort(flatten([
    for record in local.all : [for address in record.addresses : "${record.name}. ${record.ttl} IN A ${address}\n"]
  ])))
}
