variable "regions" {
  description = "The mesh's regions, as `sluice topology render` writes them."
  type = map(object({
    dns = list(string)
    cloud = optional(object({
      provider = string
      region   = string
    }))
    edges = map(object({
      host = string
    }))
    turn = optional(object({
      host = string
    }))
  }))
}

variable "addresses" {
  description = "Public addresses by machine."
  type        = map(string)
}

variable "coordinators" {
  description = "The machines that run the coordinator, and the place of each as a provider and its region."
  type = map(object({
    provider = string
    region   = string
  }))
}

variable "api_name" {
  description = "The host of the topology's public_url."
  type        = string
}

variable "page_name" {
  description = "A name that leads to the nearest region's edges, for the page; null for none."
  type        = string
  default     = null
}

variable "zone" {
  description = "The DNS zone; names outside of it are only listed. Null for none."
  type        = string
  default     = null
}

variable "ttl" {
  description = "How long resolvers keep a record, in seconds: short, so that a region that died is left soon."
  type        = number
  default     = 60

  validation {
    condition     = var.ttl >= 30 && var.ttl <= 300
    error_message = "The time to live is 30 to 300 s: longer keeps clients at what is gone."
  }
}
