output "addresses" {
  description = "Public addresses by machine."
  value       = local.addresses
}

output "secrets" {
  description = "Where each machine's secret is put: a name in AWS Secrets Manager and its region, or none where it is pushed by SSH."
  value       = { for name, secret in local.secrets : name => secret if local.machines[name].role != "monitoring" }
}

output "zone_file" {
  description = "All DNS records, for DNS that is not Terraform's."
  value       = module.records.zone_file
}

output "names_elsewhere" {
  description = "Names outside of dns_zone, which are to be made where they belong."
  value       = module.records.outside
}

output "disks" {
  description = "The clouds' ids of data disks by machine."
  value       = merge(concat(values(module.machines_aws)[*].disks, values(module.machines_hetzner)[*].disks)...)
}

output "probes" {
  description = "Where machines say by HTTPS that they are ready."
  value = merge(
    merge([
      for region in var.regions : {
        for name, edge in region.edges : name => "https://${edge.host}:${edge.ports.signal}/readyz" if contains(keys(local.of.edge), name)
      }
    ]...),
    # They share a name, which only says that one of them is.
    length(var.active_coordinators) > 1 ? {} : {
      for name in var.active_coordinators : name => "https://${var.mesh.public_host}:${var.mesh.public_port}/readyz"
    },
  )
}
