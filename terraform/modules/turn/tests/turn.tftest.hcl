variables {
  name           = "turn-paris"
  config         = "external-ip=@EXTERNAL_IP@\nstatic-auth-secret=@TURN_SECRET@\n"
  address        = "203.0.113.8"
  port           = 3478
  tls_ports      = [443, 5349]
  relay_ports    = [49152, 65535]
  metrics_port   = 9641
  edge_addresses = { paris-1 = "203.0.113.1" }
  admin_cidrs    = []
  secrets        = { store = "aws", id = "sluice/one/turn-paris", region = "eu-west-3" }
}

run "ports" {
  command = plan

  assert {
    condition = [for rule in output.rules : "${rule.name} ${rule.protocol} ${rule.from}-${rule.to}"] == [
      "turn-3478-udp udp 3478-3478", "turn-3478-tcp tcp 3478-3478", "turn-443-udp udp 443-443", "turn-443-tcp tcp 443-443",
      "turn-5349-udp udp 5349-5349", "turn-5349-tcp tcp 5349-5349", "relay udp 49152-65535",
    ]
    error_message = "TURN on its ports over UDP and TCP, relays; no metrics, no SSH"
  }
  assert {
    condition     = one([for rule in output.rules : rule.sources if rule.name == "relay"]) == { paris-1 = "203.0.113.1/32" }
    error_message = "edges alone are peers"
  }
}

run "secrets_are_not_in_the_cloud_init" {
  command = plan

  assert {
    condition     = strcontains(output.text, "external-ip=203.0.113.8") && strcontains(output.text, "static-auth-secret=@TURN_SECRET@")
    error_message = "the address is, the secret is not"
  }
}

run "metrics_are_for_monitoring_alone" {
  command = plan

  variables {
    monitoring_addresses = { monitoring = "198.51.100.4" }
  }

  assert {
    condition     = one([for rule in output.rules : rule.sources if rule.name == "metrics"]) == { monitoring = "198.51.100.4/32" }
    error_message = "from there only"
  }
}
