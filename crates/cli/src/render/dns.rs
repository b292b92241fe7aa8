//! The mesh's DNS records, as lines of a zone file (RFC 1035).

use std::fmt::Write;
use std::net::Ipv4Addr;

use sluice_types::topology::{Host, Topology};

use super::Public;

/// How long resolvers keep a record, in seconds: short, so that a region that died is left soon.
const TTL: u32 = 60;

/// Records with absolute names, to be included in a zone or imported. A record whose address the
/// topology does not know is a comment; Terraform makes it with the address that it hired.
pub(super) fn render(topology: &Topology) -> String {
    let mut text =
        "; Written by `sluice topology render`. Change topology.toml or regions/ instead.\n"
            .to_owned();
    for region in topology.regions() {
        // A `String` takes whatever it is given.
        let _ = writeln!(text, "\n; {}", region.display_name());
        for edge in region.edges() {
            if let Host::Name(name) = edge.host() {
                record(&mut text, name.as_str(), edge.address(), edge.id().as_str());
            }
        }
        for name in region.dns() {
            let is_own = |host: &Host| matches!(host, Host::Name(own) if own == name);
            // An edge may have the region's name for its own, and then has it alone.
            if region.edges().iter().any(|edge| is_own(edge.host())) {
                continue;
            }
            for edge in region.edges() {
                record(&mut text, name.as_str(), edge.address(), edge.id().as_str());
            }
        }
        if let Some(turn) = region.turn()
            && let Host::Name(name) = turn.host()
        {
            let what = format!("the TURN service of {}", region.name());
            record(&mut text, name.as_str(), turn.address(), &what);
        }
    }
    if let Ok(Host::Name(name)) = Public::of(topology).host.parse() {
        text.push_str("\n; REST\n");
        record(&mut text, name.as_str(), None, "the coordinator");
    }
    text
}

fn record(text: &mut String, name: &str, address: Option<Ipv4Addr>, of: &str) {
    // A `String` takes whatever it is given.
    let _ = match address {
        Some(address) => writeln!(text, "{name}. {TTL} IN A {address}"),
        None => writeln!(text, "; {name}. {TTL} IN A (address of {of})"),
    };
}
