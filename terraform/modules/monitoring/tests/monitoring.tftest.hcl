variables {
  name        = "monitoring"
  admin_cidrs = ["192.0.2.0/24"]
  targets     = { edges = "[]", turn = "[]", coordinator = "[]" }
}

run "every_job_has_its_targets" {
  command = plan

  assert {
    condition = alltrue([
      for job in ["edges", "turn", "coordinator"] :
      strcontains(output.text, "job_name: ${job}") && strcontains(output.text, "/etc/sluice/prometheus/targets/${job}.json")
    ])
    error_message = "a job without targets, or targets without a job"
  }
  assert {
    condition     = [for rule in output.rules : rule.name] == ["ssh"]
    error_message = "Prometheus itself is not let out"
  }
}

run "targets_that_are_no_json_are_refused" {
  command = plan

  variables {
    targets = { edges = "nothing" }
  }
  expect_failures = [var.targets]
}
