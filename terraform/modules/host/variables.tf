variable "name" {
  description = "The machine's name."
  type        = string
}

variable "services" {
  description = "The systemd units of the machine by name without `.service`: their texts. All are started, in the order of names, after the secrets are there."
  type        = map(string)
  default     = {}
}

variable "files" {
  description = "Files by their paths."
  type = map(object({
    content = string
    mode    = optional(string, "0644")
  }))
  default = {}
}

variable "packages" {
  description = "Debian packages."
  type        = list(string)
  default     = []
}

variable "sysctl" {
  description = "Kernel settings by name."
  type        = map(string)
  default     = {}
}

variable "commands" {
  description = "What runs once, after files and packages and before services."
  type        = list(string)
  default     = []
}

variable "downloads" {
  description = "Files from elsewhere by their paths: each is only kept when it has this SHA-256."
  type = map(object({
    url    = string
    sha256 = string
    mode   = optional(string, "0644")
  }))
  default = {}

  validation {
    condition     = alltrue([for it in var.downloads : can(regex("^[0-9a-f]{64}$", it.sha256))])
    error_message = "A SHA-256 is 64 characters of 0-9 and a-f."
  }
  validation {
    condition     = alltrue([for path, it in var.downloads : can(regex("^https://[^' ]+$", it.url)) && can(regex("^/[A-Za-z0-9._/-]+$", path))])
    error_message = "Downloads come by https:// and go to absolute paths."
  }
}

variable "secrets" {
  description = "Where the machine gets its secrets: `aws` is Secrets Manager in `region` under `id`; `pushed` waits for /root/sluice-secrets.json. `names` are those that it may keep, under /etc/sluice."
  type = object({
    store  = string
    id     = optional(string, "")
    region = optional(string, "")
    names  = list(string)
  })
  default = null

  validation {
    condition     = var.secrets == null ? true : contains(["aws", "pushed"], var.secrets.store)
    error_message = "secrets.store is aws or pushed."
  }
  validation {
    condition     = var.secrets == null ? true : alltrue([for name in var.secrets.names : can(regex("^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?$", name))])
    error_message = "secrets.names are file names, perhaps within one folder."
  }
}

variable "ssh_keys" {
  description = "Public keys of administrators: of the image's user on AWS, of root on Hetzner Cloud."
  type        = list(string)
  default     = []
}

variable "data_disk" {
  description = "Mounts the machine's second disk at /var/lib/sluice, and makes a file system on it when it has none."
  type        = bool
  default     = false
}
