variable "regions" {
  description = "The mesh's regions, as `sluice topology render` writes them."
  type = map(object({
    cloud = optional(object({
      provider  = string
      region    = string
      zones     = list(string)
      edge_type = string
      turn_type = string
    }))
    edges = map(object({
      address = optional(string)
    }))
    turn = optional(object({
      address = optional(string)
    }))
  }))

  validation {
    condition     = length(setintersection(keys(var.regions), ["control", "coordinator", "monitoring", "turn"])) == 0
    error_message = "No region can be called control, coordinator, monitoring or turn: machines are."
  }
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

  validation {
    condition     = contains(["aws", "hetzner"], var.control.provider)
    error_message = "control.provider is aws or hetzner."
  }
  validation {
    condition     = contains([1, 3, 5], length(var.control.zones)) && length(distinct(var.control.zones)) == length(var.control.zones)
    error_message = "control.zones are 1, 3 or 5 different zones: an even number survives no more failures than one less."
  }
  validation {
    condition     = var.control.provider != "aws" || alltrue([for zone in var.control.zones : startswith(zone, var.control.region)])
    error_message = "control.zones are zones of control.region."
  }
}

variable "monitoring_type" {
  description = "The machine of Prometheus, beside the first coordinator; null for none."
  type        = string
  default     = null
}
