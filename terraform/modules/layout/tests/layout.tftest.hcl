variables {
  regions = {
    paris = {
      cloud = { provider = "aws", region = "eu-west-3", zones = ["eu-west-3a", "eu-west-3b"], edge_type = "c7i.xlarge", turn_type = "c7i.large" }
      edges = { paris-1 = {}, paris-2 = { address = "203.0.113.2" }, paris-3 = {}, paris-10 = {} }
      turn  = {}
    }
    frankfurt = {
      cloud = { provider = "hetzner", region = "fsn1", zones = [], edge_type = "ccx23", turn_type = "ccx13" }
      edges = { frankfurt-1 = {}, frankfurt-big = {} }
    }
    cave = {
      edges = { cave-1 = { address = "203.0.113.9" } }
      turn  = {}
    }
  }
  control = { provider = "aws", region = "eu-central-1", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"], type = "t3.small" }
}

run "fan_out" {
  command = plan

  assert {
    condition     = toset(keys(output.machines)) == toset(["paris-1", "paris-2", "paris-3", "paris-10", "frankfurt-1", "frankfurt-big", "turn-paris", "coordinator-1", "coordinator-2", "coordinator-3"])
    error_message = "one machine for each edge, TURN service and coordinator of hired regions, none for others"
  }
  assert {
    condition     = [for name in ["paris-1", "paris-2", "paris-3", "paris-10"] : output.machines[name].zone] == ["eu-west-3a", "eu-west-3b", "eu-west-3a", "eu-west-3b"]
    error_message = "the number in a name deals an edge to its zone"
  }
  assert {
    condition     = output.machines["paris-2"].address == "203.0.113.2" && output.machines["paris-1"].address == null
    error_message = "an address that is known beforehand is kept"
  }
  assert {
    condition     = output.machines["frankfurt-big"].provider == "hetzner" && output.machines["frankfurt-big"].zone == "fsn1"
    error_message = "one mesh spans both clouds"
  }
}

run "coordinators_are_apart_and_have_fixed_addresses" {
  command = plan

  assert {
    condition     = length(distinct([for n in [1, 2, 3] : output.machines["coordinator-${n}"].zone])) == 3
    error_message = "each in a zone of its own"
  }
  assert {
    condition     = [for n in [1, 2, 3] : output.machines["coordinator-${n}"].private_address] == ["10.64.0.10", "10.64.1.11", "10.64.2.12"]
    error_message = "etcd's members know each other by address"
  }
  assert {
    condition     = values(output.places["control"].subnets) == ["10.64.0.0/24", "10.64.1.0/24", "10.64.2.0/24"]
    error_message = "a zone's letter gives its subnet"
  }
}

run "a_new_edge_moves_no_other" {
  command = plan

  variables {
    regions = {
      paris = {
        cloud = { provider = "aws", region = "eu-west-3", zones = ["eu-west-3a", "eu-west-3b"], edge_type = "c7i.xlarge", turn_type = "c7i.large" }
        edges = { paris-2 = {}, paris-3 = {} }
      }
    }
  }

  assert {
    condition     = output.machines["paris-2"].zone == "eu-west-3b" && output.machines["paris-3"].zone == "eu-west-3a"
    error_message = "paris-2 and paris-3 stay where they are without paris-1"
  }
}

run "coordinators_on_hetzner" {
  command = plan

  variables {
    control         = { provider = "hetzner", region = "eu-central", zones = ["fsn1", "nbg1", "hel1"], type = "cx23" }
    monitoring_type = "cx23"
  }

  assert {
    condition     = [for n in [1, 2, 3] : output.machines["coordinator-${n}"].private_address] == ["10.64.0.10", "10.64.0.11", "10.64.0.12"]
    error_message = "one subnet for all locations"
  }
  assert {
    condition     = output.machines["monitoring"].zone == "fsn1"
    error_message = "monitoring is beside the first coordinator"
  }
}

run "two_coordinators_are_refused" {
  command = plan

  variables {
    control = { provider = "aws", region = "eu-central-1", zones = ["eu-central-1a", "eu-central-1b"], type = "t3.small" }
  }
  expect_failures = [var.control]
}

run "zones_of_another_region_are_refused" {
  command = plan

  variables {
    control = { provider = "aws", region = "eu-central-1", zones = ["eu-west-1a"], type = "t3.small" }
  }
  expect_failures = [var.control]
}

run "a_region_called_turn_is_refused" {
  command = plan

  variables {
    regions = { turn = { edges = { turn-1 = {} } } }
  }
  expect_failures = [var.regions]
}
