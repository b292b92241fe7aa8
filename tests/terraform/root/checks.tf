# What the root decides, for tests and for checks of what machines are told.

output "texts" {
  value = { for name, it in local.told : name => it.text }
}

output "hired" {
  value = local.hired
}

output "records" {
  value = module.records.records
}

output "edge_addresses" {
  value = local.edge_addresses
}

output "told" {
  value = { for name, it in local.told : name => yamldecode(it.text) }
}
