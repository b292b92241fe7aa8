variables {
  name           = "coordinator-1"
  config         = "topology = \"/etc/sluice/topology\"\n"
  topology       = { "topology.toml" = "name = \"one\"\n", "regions/paris.toml" = "edges = 1\n" }
  active         = true
  public_port    = 443
  control_port   = 7400
  edge_addresses = { paris-1 = "203.0.113.1" }
  admin_cidrs    = []
  secrets        = { store = "aws", id = "sluice/one/coordinator-1", region = "eu-central-1" }
  binary = {
    version = "0.1.0"
    url     = "https://example.net/{version}/sluice"
    sha256  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  }
}

run "alone" {
  command = plan

  assert {
    condition     = [for rule in output.rules : "${rule.name} ${rule.protocol} ${rule.from}"] == ["rest tcp 443", "control udp 7400"]
    error_message = "REST for all, control for edges; no etcd, no SSH"
  }
  assert {
    condition     = !strcontains(output.text, "SLUICE_ETCD")
    error_message = "the store is the file of the configuration"
  }
  assert {
    condition     = !strcontains(output.text, "sluice-etcd") || !strcontains(output.text, "/usr/bin/etcd")
    error_message = "no etcd unless it is wanted"
  }
  assert {
    condition = toset([for file in yamldecode(output.text).write_files : file.path if startswith(file.path, "/etc/sluice/topology/")]) == toset([
      "/etc/sluice/topology/topology.toml", "/etc/sluice/topology/regions/paris.toml",
    ])
    error_message = "the topology is where the configuration looks"
  }
}

run "certificate_by_acme" {
  command = plan

  variables {
    acme = true
  }

  assert {
    condition     = [for rule in output.rules : "${rule.name} ${rule.protocol} ${rule.from}"] == ["rest tcp 443", "control udp 7400", "acme tcp 80"]
    error_message = "authorities ask at port 80"
  }
  assert {
    condition     = strcontains(output.text, "acme/account-key.pem") && !strcontains(output.text, "tls/key.pem")
    error_message = "the secret has the account's key in place of a certificate"
  }
}

run "with_etcd" {
  command = plan

  variables {
    etcd = { coordinator-1 = "10.64.0.10", coordinator-2 = "10.64.1.11", coordinator-3 = "10.64.2.12" }
  }

  assert {
    condition     = join(",", values(one([for rule in output.rules : rule.sources if rule.name == "etcd"]))) == "10.64.1.11/32,10.64.2.12/32"
    error_message = "peers alone reach etcd"
  }
  assert {
    condition     = strcontains(output.text, "--initial-cluster coordinator-1=https://10.64.0.10:2380,coordinator-2=https://10.64.1.11:2380,coordinator-3=https://10.64.2.12:2380")
    error_message = "every member knows all"
  }
  assert {
    condition     = strcontains(output.text, "--listen-client-urls http://127.0.0.1:2379")
    error_message = "clients are on the machine alone"
  }
  assert {
    condition     = strcontains(output.text, "Environment=\"SLUICE_ETCD_ENDPOINTS=http://127.0.0.1:2379\"") && strcontains(output.text, "Environment=\"SLUICE_NAME=coordinator-1\"")
    error_message = "the coordinator keeps its state in the member beside it"
  }
}

run "a_standby_runs_no_coordinator" {
  command = plan

  variables {
    active = false
  }

  assert {
    condition     = !strcontains(output.text, "sluice-coordinator.service") && strcontains(output.text, "/usr/local/bin/sluice")
    error_message = "it has the binary and starts nothing"
  }
}

run "geoip_and_settings" {
  command = plan

  variables {
    geoip       = { "city.mmdb" = { url = "https://example.net/city.mmdb", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } }
    environment = { SLUICE_PAGE_URL = "https://call.example.net" }
  }

  assert {
    condition     = strcontains(output.text, "Environment=\"SLUICE_GEOIP=/usr/local/share/sluice/city.mmdb\"") && strcontains(output.text, "Environment=\"SLUICE_PAGE_URL=https://call.example.net\"")
    error_message = "settings reach the unit"
  }
}

run "etcd_of_two_is_refused" {
  command = plan

  variables {
    etcd = { coordinator-1 = "10.64.0.10", coordinator-2 = "10.64.1.11" }
  }
  expect_failures = [var.etcd]
}

run "a_setting_that_breaks_out_is_refused" {
  command = plan

  variables {
    environment = { SLUICE_PAGE_URL = "x\"\nExecStartPre=/bin/sh" }
  }
  expect_failures = [var.environment]
}
