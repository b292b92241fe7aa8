# What `sluice topology render` writes: generated.auto.tfvars.json.

variable "mesh" {
  description = "What concerns the whole mesh."
  type = object({
    name            = string
    public_host     = string
    public_port     = number
    control_port    = number
    drain_s         = number
    fallback_region = string
    # Coordinators get the certificate of `public_host` by ACME.
    coordinator_acme = optional(bool, false)
  })
}

variable "regions" {
  description = "The mesh's regions. Those without a cloud are run elsewhere, and are only let in."
  type = map(object({
    display_name = string
    dns          = list(string)
    cloud = optional(object({
      provider  = string
      region    = string
      zones     = list(string)
      edge_type = string
      turn_type = string
    }))
    edges = map(object({
      host     = string
      address  = optional(string)
      workers  = number
      capacity = number
      # What it gets a certificate for by ACME; none when that comes from files.
      acme_names = optional(list(string), [])
      ports = object({
        signal   = number
        media    = number
        ice_tcp  = number
        backbone = number
      })
      config = string
    }))
    turn = optional(object({
      host           = string
      address        = optional(string)
      port           = number
      tls_ports      = list(number)
      relay_port_min = number
      relay_port_max = number
      metrics_port   = number
      config         = string
    }))
  }))
}

# What operators say: terraform.tfvars, see terraform.tfvars.example.

variable "binary" {
  description = "The binary `sluice`: its version, a URL in which `{version}` stands for it, and the SHA-256 of what it gives."
  type = object({
    version = string
    url     = string
    sha256  = string
  })
}

variable "binary_overrides" {
  description = "Another binary for some machines, to try a version on them first."
  type = map(object({
    version = string
    url     = string
    sha256  = string
  }))
  default = {}
}

variable "control" {
  description = "Where the coordinators are: zones of AWS, or locations of Hetzner Cloud in one network zone."
  type = object({
    provider = string
    region   = string
    zones    = list(string)
    type     = string
    data_gb  = optional(number, 20)
  })
}

variable "active_coordinators" {
  description = "Which machines run `sluice coordinator`. With its embedded store that is one, and the others wait; with etcd name all."
  type        = set(string)
  default     = ["coordinator-1"]

  validation {
    condition     = length(var.active_coordinators) == 1 || var.etcd
    error_message = "The embedded store is one process's alone: several coordinators need a store that they share."
  }
}

variable "etcd" {
  description = "Runs etcd beside each coordinator, where coordinators keep their state: then all of them may run."
  type        = bool
  default     = false
}

variable "edge_environment" {
  description = "More settings of edges, as SLUICE_… variables. No secrets."
  type        = map(string)
  default     = {}
}

variable "coordinator_environment" {
  description = "More settings of the coordinator, as SLUICE_… variables. No secrets."
  type        = map(string)
  default     = {}
}

variable "geoip" {
  description = "MaxMind DB files by name, in the order of names. Without one every client counts as in the fallback region."
  type = map(object({
    url    = string
    sha256 = string
  }))
  default = {}
}

variable "monitoring_type" {
  description = "The machine of Prometheus, beside the first coordinator; null for none."
  type        = string
  default     = null
}

variable "dns_zone" {
  description = "The hosted zone in Route 53 for the mesh's names; null when DNS is elsewhere: then see the output `zone_file`."
  type        = string
  default     = null
}

variable "page_name" {
  description = "A name in the zone that leads to the nearest region's edges, for links to the page; null for the fallback region's name. Every edge's certificate has to have it."
  type        = string
  default     = null
}

variable "admin_cidrs" {
  description = "From where SSH is let in; none closes it. Machines on Hetzner Cloud need it once, for their secrets."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.admin_cidrs, "0.0.0.0/0")
    error_message = "SSH is not for everybody."
  }
}

variable "ssh_keys" {
  description = "Administrators' public keys. Each machine is told them when it is made: a change replaces all."
  type        = list(string)
  default     = []
}

variable "aws_region" {
  description = "The region of AWS for what has none, such as IAM's endpoint."
  type        = string
  default     = "us-east-1"
}

variable "hcloud_token" {
  description = "The token of a project at Hetzner Cloud; none reads HCLOUD_TOKEN."
  type        = string
  default     = null
  sensitive   = true
}
