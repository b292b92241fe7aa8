output "user_data" {
  description = "The machine's cloud-init, as modules/host gives it."
  value       = module.host.user_data
}

output "text" {
  description = "The same as text, for checks."
  value       = module.host.text
}

output "rules" {
  description = "What is let in: protocol, first and last port, and from where. Sources have names that are known before their addresses are."
  value       = local.rules
}
