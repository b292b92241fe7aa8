output "user_data" {
  description = "The cloud-init, compressed and in base 64 as both clouds take it."
  value       = base64gzip(local.text)

  precondition {
    # AWS takes 16 KiB of what base 64 stands for.
    condition     = length(base64gzip(local.text)) * 3 / 4 <= 16384
    error_message = "The cloud-init of ${var.name} is larger than 16 KiB when compressed."
  }
}

output "text" {
  description = "The same as text, for checks."
  value       = local.text
}

locals {
  text = "#cloud-config\n${yamlencode(local.cloud_init)}"
}
