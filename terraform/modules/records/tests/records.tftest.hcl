variables {
  regions = {
    paris = {
      dns   = ["paris.one.example"]
      cloud = { provider = "aws", region = "eu-west-3" }
      edges = { paris-1 = { host = "paris-1.paris.one.example" }, paris-2 = { host = "big.elsewhere.example" } }
      turn  = { host = "turn.paris.one.example" }
    }
    falkenstein = {
      dns   = ["fsn.one.example"]
      cloud = { provider = "hetzner", region = "fsn1" }
      edges = { falkenstein-1 = { host = "fsn.one.example" } }
    }
    cave = {
      dns   = ["cave.one.example"]
      edges = { cave-1 = { host = "203.0.113.99" } }
    }
  }
  addresses    = { paris-1 = "203.0.113.1", paris-2 = "203.0.113.2", turn-paris = "203.0.113.8", falkenstein-1 = "198.51.100.1", coordinator-1 = "192.0.2.1", coordinator-2 = "192.0.2.2" }
  coordinators = { coordinator-1 = { provider = "aws", region = "eu-central-1" }, coordinator-2 = { provider = "aws", region = "eu-central-1" } }
  api_name     = "meet.one.example"
  page_name    = "call.one.example"
  zone         = "one.example"
}

run "records" {
  command = plan

  assert {
    condition = toset(keys(output.records)) == toset([
      "paris-1.paris.one.example", "paris.one.example", "turn.paris.one.example", "fsn.one.example",
      "call.one.example paris", "call.one.example falkenstein", "meet.one.example eu-central-1",
    ])
    error_message = "each edge, region and TURN service, the page for each region, and REST"
  }
  assert {
    condition     = join(",", output.records["paris.one.example"].addresses) == "203.0.113.1,203.0.113.2"
    error_message = "a region is all its edges"
  }
  assert {
    condition     = output.records["call.one.example falkenstein"].latency_region == "eu-central-1" && output.records["call.one.example paris"].latency_region == "eu-west-3"
    error_message = "the page is nearest by latency, of whichever cloud"
  }
  assert {
    condition     = output.records["call.one.example paris"].probe == "paris-1.paris.one.example"
    error_message = "a region whose edge is not ready is not answered with"
  }
  assert {
    condition     = join(",", output.records["meet.one.example eu-central-1"].addresses) == "192.0.2.1,192.0.2.2"
    error_message = "REST is every coordinator that runs"
  }
  assert {
    condition     = alltrue([for record in output.records : record.ttl == 60])
    error_message = "records are short-lived"
  }
  assert {
    condition     = join(",", output.outside) == "big.elsewhere.example"
    error_message = "names of other zones are listed"
  }
  assert {
    condition     = strcontains(output.zone_file, "big.elsewhere.example. 60 IN A 203.0.113.2\n") && !strcontains(output.zone_file, "cave")
    error_message = "the zone file has all that is known"
  }
}

run "no_zone_makes_no_records" {
  command = plan

  variables {
    zone = null
  }

  assert {
    condition     = length(output.records) == 0 && length(output.outside) == 7
    error_message = "all are listed instead"
  }
}

run "a_day_is_too_long" {
  command = plan

  variables {
    ttl = 86400
  }
  expect_failures = [var.ttl]
}
