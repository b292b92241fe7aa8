# One mesh over both clouds. Modules without a provider decide: which machine is where (layout), what
# it is told and who reaches it (edge, turn, coordinator, monitoring), and what names lead to it
# (records). Modules of a provider only hire what they are told to, by one contract.

module "layout" {
  source = "./modules/layout"

  regions         = var.regions
  control         = var.control
  monitoring_type = var.monitoring_type
}

locals {
  machines = module.layout.machines
  places   = module.layout.places
  rendered = "${path.module}/rendered"

  on = {
    for provider in ["aws", "hetzner"] : provider => {
      machines = { for name, machine in local.machines : name => machine if machine.provider == provider }
      places   = { for name, place in local.places : name => place if place.provider == provider }
    }
  }

  of = {
    for role in ["edge", "turn", "coordinator", "monitoring"] :
    role => { for name, machine in local.machines : name => machine if machine.role == role }
  }
}

# Addresses first: configuration, firewalls and names of every machine know those of others.

module "addresses_aws" {
  source = "./modules/aws/addresses"

  mesh     = var.mesh.name
  machines = local.on.aws.machines
}

module "addresses_hetzner" {
  source = "./modules/hetzner/addresses"

  mesh     = var.mesh.name
  machines = local.on.hetzner.machines
}

locals {
  addresses   = merge(module.addresses_aws.addresses, module.addresses_hetzner.addresses)
  address_ids = merge(module.addresses_aws.ids, module.addresses_hetzner.ids)

  # Edges that are run elsewhere reach the backbone as well, when their address is known.
  edge_addresses = merge(
    { for name in keys(local.of.edge) : name => local.addresses[name] },
    merge([
      for region in var.regions : {
        for name, edge in region.edges : name => edge.address if edge.address != null
      } if region.cloud == null
    ]...),
  )
  monitoring_addresses = { for name in keys(local.of.monitoring) : name => local.addresses[name] }
}

module "secrets_aws" {
  source = "./modules/aws/secrets"

  mesh     = var.mesh.name
  machines = { for name, machine in local.on.aws.machines : name => machine.cloud if machine.role != "monitoring" }
}

locals {
  # Hetzner Cloud has no store for secrets: operators push them.
  secrets = {
    for name, machine in local.machines : name => machine.provider == "aws" ? {
      store  = "aws"
      id     = "sluice/${var.mesh.name}/${name}"
      region = machine.cloud
      } : {
      store  = "pushed"
      id     = ""
      region = ""
    }
  }
}

# What each machine is told, and who reaches it.

locals {
  # Of those that stand by as well, so that edges stay as they are when another begins to run.
  coordinator_lines = var.etcd ? [
    for name in sort(keys(local.of.coordinator)) : "${local.addresses[name]}:${var.mesh.control_port}"
  ] : []

  # Every edge answers under `page_name`, which only Terraform knows.
  acme_names = {
    for name, machine in local.of.edge : name => (
      length(var.regions[machine.region].edges[name].acme_names) == 0 ? [] : distinct(concat(
        var.regions[machine.region].edges[name].acme_names,
        var.page_name == null ? [] : [var.page_name],
      ))
    )
  }
}

module "edge" {
  source   = "./modules/edge"
  for_each = local.of.edge

  name           = each.key
  config         = file("${local.rendered}/${var.regions[each.value.region].edges[each.key].config}")
  address        = local.addresses[each.key]
  workers        = var.regions[each.value.region].edges[each.key].workers
  ports          = var.regions[each.value.region].edges[each.key].ports
  edge_addresses = local.edge_addresses
  coordinators   = local.coordinator_lines
  acme_names     = local.acme_names[each.key]
  environment    = var.edge_environment
  drain_s        = var.mesh.drain_s
  admin_cidrs    = var.admin_cidrs
  ssh_keys       = var.ssh_keys
  secrets        = local.secrets[each.key]
  binary         = lookup(var.binary_overrides, each.key, var.binary)
}

module "turn" {
  source   = "./modules/turn"
  for_each = local.of.turn

  name                 = each.key
  config               = file("${local.rendered}/${var.regions[each.value.region].turn.config}")
  address              = local.addresses[each.key]
  port                 = var.regions[each.value.region].turn.port
  tls_ports            = var.regions[each.value.region].turn.tls_ports
  relay_ports          = [var.regions[each.value.region].turn.relay_port_min, var.regions[each.value.region].turn.relay_port_max]
  metrics_port         = var.regions[each.value.region].turn.metrics_port
  edge_addresses       = local.edge_addresses
  monitoring_addresses = local.monitoring_addresses
  admin_cidrs          = var.admin_cidrs
  ssh_keys             = var.ssh_keys
  secrets              = local.secrets[each.key]
}

module "coordinator" {
  source   = "./modules/coordinator"
  for_each = local.of.coordinator

  name   = each.key
  active = contains(var.active_coordinators, each.key)
  config = file("${local.rendered}/coordinator.toml")
  topology = merge(
    { "topology.toml" = file("${path.module}/../topology.toml") },
    { for name in keys(var.regions) : "regions/${name}.toml" => file("${path.module}/../regions/${name}.toml") },
  )
  environment = merge(
    var.page_name == null ? {} : { SLUICE_PAGE_URL = "https://${var.page_name}" },
    var.coordinator_environment,
  )
  geoip          = var.geoip
  public_port    = var.mesh.public_port
  acme           = var.mesh.coordinator_acme
  control_port   = var.mesh.control_port
  edge_addresses = local.edge_addresses
  etcd           = var.etcd ? { for name, machine in local.of.coordinator : name => machine.private_address } : {}
  admin_cidrs    = var.admin_cidrs
  ssh_keys       = var.ssh_keys
  secrets        = local.secrets[each.key]
  binary         = lookup(var.binary_overrides, each.key, var.binary)
}

module "monitoring" {
  source   = "./modules/monitoring"
  for_each = local.of.monitoring

  name        = each.key
  admin_cidrs = var.admin_cidrs
  ssh_keys    = var.ssh_keys
  targets     = { for job in ["edges", "turn", "coordinator"] : job => file("${local.rendered}/prometheus/${job}.json") }
}

locals {
  told = merge(module.edge, module.turn, module.coordinator, module.monitoring)

  # The contract of modules/aws/machines and modules/hetzner/machines.
  hired = {
    for name, machine in local.machines : name => {
      type            = machine.type
      zone            = machine.zone
      private_address = machine.private_address
      data_gb         = machine.data_gb
      address_id      = local.address_ids[name]
      user_data       = local.told[name].user_data
      rules           = local.told[name].rules
      profile         = try(module.secrets_aws.secrets[name].profile, null)
    }
  }
}

# The machines.

module "network_aws" {
  source   = "./modules/aws/network"
  for_each = local.on.aws.places

  name    = "${var.mesh.name}-${each.key}"
  region  = each.value.region
  cidr    = each.value.cidr
  subnets = each.value.subnets
}

module "network_hetzner" {
  source   = "./modules/hetzner/network"
  for_each = local.on.hetzner.places

  name    = "${var.mesh.name}-${each.key}"
  region  = each.value.region
  cidr    = each.value.cidr
  subnets = each.value.subnets
}

module "machines_aws" {
  source   = "./modules/aws/machines"
  for_each = local.on.aws.places

  mesh     = var.mesh.name
  region   = each.value.region
  network  = module.network_aws[each.key].network
  machines = { for name, machine in local.on.aws.machines : name => local.hired[name] if machine.place == each.key }
}

module "machines_hetzner" {
  source   = "./modules/hetzner/machines"
  for_each = local.on.hetzner.places

  mesh     = var.mesh.name
  region   = each.value.region
  network  = module.network_hetzner[each.key].network
  machines = { for name, machine in local.on.hetzner.machines : name => local.hired[name] if machine.place == each.key }
}

module "backups_aws" {
  source = "./modules/aws/backups"
  count  = var.control.provider == "aws" ? 1 : 0

  mesh   = var.mesh.name
  region = var.control.region
}

# Names.

module "records" {
  source = "./modules/records"

  regions      = var.regions
  addresses    = local.addresses
  coordinators = { for name in var.active_coordinators : name => var.control }
  api_name     = var.mesh.public_host
  page_name    = var.page_name
  zone         = var.dns_zone
}

module "dns_aws" {
  source = "./modules/aws/dns"
  count  = var.dns_zone == null ? 0 : 1

  zone    = var.dns_zone
  records = module.records.records
  probe_port = merge([
    for region in var.regions : { for name, edge in region.edges : edge.host => edge.ports.signal }
  ]...)
}
