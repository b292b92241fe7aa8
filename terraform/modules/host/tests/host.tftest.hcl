variables {
  name     = "paris-1"
  services = { sluice-edge = "[Service]\nExecStart=/bin/true\n" }
}

run "little_is_little" {
  command = plan

  assert {
    condition     = startswith(output.text, "#cloud-config\n") && yamldecode(output.text).hostname == "paris-1"
    error_message = "cloud-init begins with its mark and is YAML"
  }
  assert {
    condition     = [for file in yamldecode(output.text).write_files : file.path] == ["/etc/systemd/system/sluice-edge.service"]
    error_message = "no files but those that are wanted"
  }
  assert {
    condition     = yamldecode(output.text).disable_root && !yamldecode(output.text).ssh_pwauth
    error_message = "nobody logs in as root or by password"
  }
}

run "everything" {
  command = plan

  variables {
    secrets   = { store = "aws", id = "sluice/one/paris-1", region = "eu-west-3", names = ["mesh/key.pem", "tls/key.pem"] }
    sysctl    = { "net.core.rmem_max" = "33554432" }
    data_disk = true
    ssh_keys  = ["ssh-ed25519 AAAA admin"]
    downloads = {
      "/usr/local/bin/sluice" = { url = "https://example.net/sluice", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", mode = "0755" }
    }
  }

  assert {
    condition = alltrue([
      for line in ["set -eu", "sysctl --system", "/usr/local/lib/sluice/data-disk", "systemctl start --no-block sluice-secrets.service", "systemctl start --no-block sluice-edge.service"] :
      contains(split("\n", yamldecode(output.text).runcmd[0][2]), line)
    ])
    error_message = "every part is started"
  }
  assert {
    condition     = yamldecode(output.text).ssh_authorized_keys == ["ssh-ed25519 AAAA admin"]
    error_message = "administrators have their keys"
  }
  assert {
    condition     = strcontains(output.text, "'https://example.net/sluice' e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0755")
    error_message = "a download is held to its sum"
  }
  assert {
    condition = one([
      for file in yamldecode(output.text).write_files : strcontains(file.content, "NAMES = [\"mesh/key.pem\",\"tls/key.pem\"]") if file.path == "/usr/local/lib/sluice/keep-secrets"
    ])
    error_message = "only secrets with these names are kept"
  }
  assert {
    condition     = contains(yamldecode(output.text).packages, "awscli")
    error_message = "the store's client is installed"
  }
}

run "what_is_no_sum_is_refused" {
  command = plan

  variables {
    downloads = { "/bin/x" = { url = "https://example.net/x", sha256 = "latest" } }
  }
  expect_failures = [var.downloads]
}

run "a_quote_in_a_url_is_refused" {
  command = plan

  variables {
    downloads = { "/bin/x" = { url = "https://example.net/'; reboot; '", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } }
  }
  expect_failures = [var.downloads]
}

run "a_name_that_leads_elsewhere_is_refused" {
  command = plan

  variables {
    secrets = { store = "pushed", names = ["../passwd"] }
  }
  expect_failures = [var.secrets]
}
