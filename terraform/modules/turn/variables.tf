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

variable "config" {
  description = "turnserver.conf with placeholders, as `sluice topology render` writes it."
  type        = string
}

variable "address" {
  description = "The machine's public address."
  type        = string
}

variable "port" {
  description = "STUN, and TURN over UDP and TCP."
  type        = number
}

variable "tls_ports" {
  description = "TURN over TLS and DTLS."
  type        = list(number)
}

variable "relay_ports" {
  description = "The first and the last UDP port that it relays from."
  type        = tuple([number, number])
}

variable "metrics_port" {
  description = "Where coturn's metrics are, if it was built with them."
  type        = number
}

variable "edge_addresses" {
  description = "The public addresses of all edges of the mesh by name, which alone are peers."
  type        = map(string)
}

variable "monitoring_addresses" {
  description = "From where metrics are fetched, by machine."
  type        = map(string)
  default     = {}
}
