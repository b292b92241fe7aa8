# The root with the mesh of this repository, which spans both clouds.

variables {
  binary = {
    version = "0.1.0"
    url     = "https://example.net/{version}/sluice"
    sha256  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  }
  control         = { provider = "aws", region = "eu-central-1", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"], type = "t3.small" }
  geoip           = { "country.mmdb" = { url = "https://example.net/country.mmdb", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } }
  monitoring_type = "t3.small"
  dns_zone        = "sluice.example"
  page_name       = "call.sluice.example"
  admin_cidrs     = ["192.0.2.0/24"]
  ssh_keys        = ["ssh-ed25519 AAAA test"]
}

# Nothing that decides how many of anything there are may wait for an address.
run "it_plans_before_addresses_are_known" {
  command = plan

  assert {
    condition     = length(output.hired) == sum([for region in var.regions : length(region.edges) + (region.turn == null ? 0 : 1)]) + 4
    error_message = "a machine for each edge and TURN service, three coordinators, monitoring"
  }
}

run "one_mesh_over_both_clouds" {
  assert {
    condition     = toset(keys(output.hired)) == toset(keys(output.addresses))
    error_message = "every machine has a fixed address"
  }
  assert {
    condition = alltrue(flatten([
      for region in var.regions : [
        for name, edge in region.edges : [
          for rule in output.hired[name].rules : toset(keys(rule.sources)) == setsubtract(keys(output.edge_addresses), [name]) if rule.name == "backbone"
        ]
      ]
    ]))
    error_message = "each edge lets every other edge of either cloud in on the backbone, and nobody else"
  }
  assert {
    condition     = startswith(output.addresses["frankfurt-1"], "198.51.100.") && startswith(output.addresses["paris-1"], "203.0.113.")
    error_message = "a region's file chooses its cloud"
  }
  assert {
    condition = alltrue([
      for name, secret in output.secrets : secret.store == (startswith(output.addresses[name], "203.0.113.") ? "aws" : "pushed")
    ])
    error_message = "secrets come from the cloud's store where it has one"
  }
  assert {
    condition     = output.hired["paris-1"].profile == "sluice-sluice-paris-1" && output.hired["frankfurt-1"].profile == null && output.hired["monitoring"].profile == null
    error_message = "a machine may read its own secret, and one without a secret nothing"
  }
  assert {
    condition     = output.hired["coordinator-1"].data_gb == 20 && output.hired["paris-1"].data_gb == 0
    error_message = "only what keeps something has a disk"
  }
  assert {
    condition     = length(output.names_elsewhere) == 0 && contains(keys(output.records), "paris-1.paris.sluice.example") && contains(keys(output.records), "call.sluice.example tokyo")
    error_message = "each edge and region has its name"
  }
}

run "rolling_waits_for_what_it_touched" {
  command = plan

  assert {
    condition     = output.probes["frankfurt-2"] == "https://big.fra.sluice.example:443/readyz" && output.probes["coordinator-1"] == "https://meet.sluice.example:443/readyz"
    error_message = "edges and the coordinator say when they are ready"
  }
  assert {
    condition     = !contains(keys(output.probes), "turn-paris") && !contains(keys(output.probes), "coordinator-2")
    error_message = "what says nothing is not asked"
  }
}

run "two_coordinators_need_a_store_that_they_share" {
  command = plan

  variables {
    active_coordinators = ["coordinator-1", "coordinator-2"]
  }
  expect_failures = [var.active_coordinators]
}

run "coordinators_with_etcd" {
  command = plan

  variables {
    active_coordinators = ["coordinator-1", "coordinator-2", "coordinator-3"]
    etcd                = true
  }

  assert {
    condition     = contains([for rule in output.hired["coordinator-2"].rules : rule.name], "etcd")
    error_message = "etcd's members reach each other"
  }
  assert {
    condition     = length(regexall("SLUICE_COORDINATOR=[0-9.]+:7400,[0-9.]+:7400,[0-9.]+:7400\n", output.texts["paris-1"])) == 1
    error_message = "edges have a line to each coordinator"
  }
}

run "all_of_it_on_hetzner" {
  command = plan

  variables {
    control         = { provider = "hetzner", region = "eu-central", zones = ["fsn1", "nbg1", "hel1"], type = "cx23" }
    monitoring_type = "cx23"
  }

  assert {
    condition     = output.secrets["coordinator-1"].store == "pushed"
    error_message = "the coordinators may be there as well"
  }
}

run "ssh_is_not_for_everybody" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.admin_cidrs]
}
