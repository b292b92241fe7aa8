//! Where a machine finds the certificate of its public names: in files, or at an ACME authority.

use sluice_types::topology::{Certificates, Edge, Host, Region, Topology};

use super::{TLS_CERT, TLS_KEY};

/// The settings of a machine with these names, as lines of TOML.
pub(super) fn settings(topology: &Topology, from: Certificates, names: &[String]) -> String {
    match (from, topology.acme()) {
        (Certificates::Acme, Some(acme)) => format!(
            r#"acme_names = {names}
acme_directory = "{directory}"
acme_contact = {contact}
acme_account_key = "/etc/sluice/acme/account-key.pem"
"#,
            names = list(names),
            directory = acme.directory(),
            contact = list(acme.contact()),
        ),
        // The topology has no such choice without an authority.
        _ => format!("tls_cert = \"{TLS_CERT}\"\ntls_key = \"{TLS_KEY}\"\n"),
    }
}

/// What clients call an edge by, that of the region included; an address is no name.
pub(super) fn edge_names(region: &Region, edge: &Edge) -> Vec<String> {
    let own = match edge.host() {
        Host::Name(name) => Some(name.to_string()),
        Host::Address(_) => None,
    };
    let regions = region.dns().iter().map(ToString::to_string);
    let mut names: Vec<_> = own.into_iter().chain(regions).collect();
    names.dedup();
    names
}

/// The topology has checked that there is nothing to escape.
fn list(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
