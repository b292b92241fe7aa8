variable "name" {
  description = "The machine's name."
  type        = string
}

variable "admin_cidrs" {
  description = "From where SSH is let in; none closes it. Prometheus listens on loopback: look at it through SSH."
  type        = list(string)
}

variable "ssh_keys" {
  description = "Public keys of administrators: of the image's user on AWS, of root on Hetzner Cloud."
  type        = list(string)
  default     = []
}

variable "targets" {
  description = "Targets by the names of jobs, as `sluice topology render` writes them: edges, turn, coordinator."
  type        = map(string)

  validation {
    condition     = alltrue([for job, text in var.targets : can(regex("^[a-z]+$", job)) && can(jsondecode(text))])
    error_message = "Targets are JSON, under names of a-z."
  }
}
