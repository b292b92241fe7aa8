variable "name" {
  description = "The machine's name."
  type        = string
}

variable "admin_cidrs" {
  description = "From where SSH is let in; none closes it."
  type        = list(string)
}

variable "ssh_keys" {
  description = "Public keys of administrators: of the image's user on AWS, of root on Hetzner Cloud."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "Where secrets come from: `store`, `id` and `region` as modules/host takes them."
  type = object({
    store  = string
    id     = optional(string, "")
    region = optional(string, "")
  })
}

variable "binary" {
  description = "The binary `sluice`: a URL, in which `{version}` stands for the version, and the SHA-256 of what it gives."
  type = object({
    version = string
    url     = string
    sha256  = string
  })
}

variable "config" {
  description = "The edge's configuration, as `sluice topology render` writes it."
  type        = string
}

variable "address" {
  description = "The machine's public address."
  type        = string
}

variable "workers" {
  description = "Media workers, each with a UDP port."
  type        = number
}

variable "ports" {
  description = "The edge's ports."
  type = object({
    signal   = number
    media    = number
    ice_tcp  = number
    backbone = number
  })
}

variable "edge_addresses" {
  description = "The public addresses of all edges of the mesh by name, which alone reach the backbone."
  type        = map(string)
}

variable "drain_s" {
  description = "How long the edge drains when it is stopped, in seconds."
  type        = number
}

variable "environment" {
  description = "More settings, as SLUICE_… variables of `sluice edge --help`. No secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.environment : can(regex("^SLUICE_[A-Z_]+$", key)) && can(regex("^[^\"\\\\%\n]*$", value))])
    error_message = "Names begin with SLUICE_; values have no quotes, backslashes, percent signs or ends of lines."
  }
}

variable "acme_names" {
  description = "The names that the edge gets a certificate for by ACME, with the account key of its secret; none takes the certificate from there."
  type        = list(string)
  default     = []
}

variable "coordinators" {
  description = "Where each coordinator takes edges, host:port, when there are several; none leaves it to the configuration."
  type        = list(string)
  default     = []
}
