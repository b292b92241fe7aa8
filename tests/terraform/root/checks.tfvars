# The same as in root.tftest.hcl, for what is checked outside of Terraform.

binary = {
  version = "0.1.0"
  url     = "https://example.net/{version}/sluice"
  sha256  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
}
control = {
  provider = "aws"
  region   = "eu-central-1"
  zones    = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  type     = "t3.small"
}
etcd            = true
geoip           = { "country.mmdb" = { url = "https://example.net/country.mmdb", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } }
monitoring_type = "t3.small"
dns_zone        = "sluice.example"
page_name       = "call.sluice.example"
admin_cidrs     = ["192.0.2.0/24"]
ssh_keys        = ["ssh-ed25519 AAAA test"]
