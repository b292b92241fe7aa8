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
  description = "coordinator.toml, as `sluice topology render` writes it."
  type        = string
}

variable "topology" {
  description = "topology.toml and regions/*.toml by their paths."
  type        = map(string)
}

variable "active" {
  description = "Runs `sluice coordinator` here. Without etcd's store exactly one machine does."
  type        = bool
}

variable "environment" {
  description = "More settings, as SLUICE_… variables of `sluice coordinator --help`. No secrets: these are in the secret's `env`."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.environment : can(regex("^SLUICE_[A-Z_]+$", key)) && can(regex("^[^\"\\\\%\n]*$", value))])
    error_message = "Names begin with SLUICE_; values have no quotes, backslashes, percent signs or ends of lines."
  }
}

variable "geoip" {
  description = "MaxMind DB files by name, in the order of names: each a URL and the SHA-256 of what it gives."
  type = map(object({
    url    = string
    sha256 = string
  }))
  default = {}
}

variable "public_port" {
  description = "REST."
  type        = number
}

variable "acme" {
  description = "The coordinator gets its certificate by ACME, with the account key of its secret, in place of one from there."
  type        = bool
  default     = false
}

variable "control_port" {
  description = "Where edges connect, UDP."
  type        = number
}

variable "edge_addresses" {
  description = "The public addresses of all edges of the mesh by name, which alone reach control."
  type        = map(string)
}

variable "etcd" {
  description = "Private addresses of etcd's members by name, this machine among them; none keeps the store in a file."
  type        = map(string)
  default     = {}

  validation {
    condition     = contains([0, 1, 3, 5], length(var.etcd)) && (length(var.etcd) == 0 || contains(keys(var.etcd), var.name))
    error_message = "etcd has 1, 3 or 5 members, and this machine is one."
  }
}
