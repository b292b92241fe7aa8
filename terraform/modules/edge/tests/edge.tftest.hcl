variables {
  name           = "paris-1"
  config         = "edge = \"paris-1\"\n"
  address        = "203.0.113.1"
  workers        = 4
  ports          = { signal = 443, media = 40000, ice_tcp = 40000, backbone = 7443 }
  edge_addresses = { paris-1 = "203.0.113.1", paris-2 = "203.0.113.2", tokyo-1 = "198.51.100.3" }
  drain_s        = 30
  admin_cidrs    = []
  secrets        = { store = "aws", id = "sluice/one/paris-1", region = "eu-west-3" }
  binary = {
    version = "0.1.0"
    url     = "https://example.net/{version}/sluice"
    sha256  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  }
}

run "exactly_the_topologys_ports_are_open" {
  command = plan

  assert {
    condition = [for rule in output.rules : "${rule.name} ${rule.protocol} ${rule.from}-${rule.to}"] == [
      "signalling tcp 443-443", "ice-tcp tcp 40000-40000", "media udp 40000-40003", "backbone udp 7443-7443",
    ]
    error_message = "signalling, ICE-TCP, a port for each worker, the backbone; no SSH"
  }
  assert {
    condition     = !strcontains(output.text, "SLUICE_COORDINATOR")
    error_message = "the configuration names the coordinator"
  }
  assert {
    condition     = one([for rule in output.rules : rule.sources if rule.name == "backbone"]) == { paris-2 = "203.0.113.2/32", tokyo-1 = "198.51.100.3/32" }
    error_message = "the backbone is for the other edges alone"
  }
}

run "a_line_to_each_coordinator" {
  command = plan

  variables {
    coordinators = ["203.0.113.9:7400", "203.0.113.10:7400"]
  }

  assert {
    condition     = strcontains(output.text, "Environment=SLUICE_COORDINATOR=203.0.113.9:7400,203.0.113.10:7400\n")
    error_message = "each coordinator by its address: one name would be one line"
  }
}

run "certificates_from_files" {
  command = plan

  assert {
    condition     = strcontains(output.text, "tls/key.pem") && !strcontains(output.text, "acme") && !strcontains(output.text, "StateDirectory")
    error_message = "the secret has the certificate, and nothing is ordered"
  }
}

run "certificates_by_acme" {
  command = plan

  variables {
    acme_names = ["paris-1.one.example", "meet.one.example"]
  }

  assert {
    condition     = one([for rule in output.rules : "${rule.protocol} ${rule.from}-${rule.to} ${join(",", values(rule.sources))}" if rule.name == "acme"]) == "tcp 80-80 0.0.0.0/0"
    error_message = "authorities ask at port 80, from anywhere"
  }
  assert {
    condition     = strcontains(output.text, "Environment=SLUICE_ACME_NAMES=paris-1.one.example,meet.one.example\n")
    error_message = "the page's name too, which the configuration does not know"
  }
  assert {
    condition     = strcontains(output.text, "acme/account-key.pem") && !strcontains(output.text, "tls/key.pem")
    error_message = "the secret has the account's key in place of a certificate"
  }
  assert {
    condition     = strcontains(output.text, "StateDirectory=sluice\n")
    error_message = "the certificate outlives a restart"
  }
}

run "more_settings" {
  command = plan

  variables {
    environment = { SLUICE_OTLP_ENDPOINT = "http://192.0.2.9:4318" }
  }

  assert {
    condition     = strcontains(output.text, "Environment=\"SLUICE_OTLP_ENDPOINT=http://192.0.2.9:4318\"\n")
    error_message = "settings reach the edge"
  }
}

run "a_setting_that_breaks_out_is_refused" {
  command = plan

  variables {
    environment = { SLUICE_DRAIN_MS = "1\"\nExecStart=/bin/true" }
  }

  expect_failures = [var.environment]
}

run "administrators_get_in_when_named" {
  command = plan

  variables {
    admin_cidrs = ["192.0.2.0/24"]
  }

  assert {
    condition     = join(",", values(one([for rule in output.rules : rule.sources if rule.name == "ssh"]))) == "192.0.2.0/24"
    error_message = "from there only"
  }
}

run "a_stop_outlasts_the_drain" {
  command = plan

  assert {
    condition     = strcontains(output.text, "TimeoutStopSec=45") && strcontains(output.text, "KillSignal=SIGTERM")
    error_message = "systemd waits for the drain"
  }
  assert {
    condition     = strcontains(output.text, "SLUICE_ADVERTISE=203.0.113.1")
    error_message = "clients are told the fixed address"
  }
  assert {
    condition     = strcontains(output.text, "https://example.net/0.1.0/sluice")
    error_message = "the version is in the URL"
  }
  assert {
    condition = alltrue([
      for line in ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "SystemCallFilter=@system-service"] :
      strcontains(output.text, line)
    ])
    error_message = "the unit is hardened"
  }
}
