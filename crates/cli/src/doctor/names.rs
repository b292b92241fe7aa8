//! Names: whether DNS leads where the configuration and the topology say.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use sluice_edge::config::EdgeConfig;
use sluice_types::topology::{Host, Topology};

use super::report::Report;

const DNS: &str = "dns";

/// The resolver of the system, or one that asks this name server alone.
pub(super) fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let builder = match server {
        None => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
        Some(server) => {
            let mut udp = ConnectionConfig::udp();
            udp.port = server.port();
            let mut tcp = ConnectionConfig::tcp();
            tcp.port = server.port();
            let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
            let config = ResolverConfig::from_parts(None, vec![], vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.build().map_err(|error| error.to_string())
}

/// The addresses of a name, or of an address itself.
pub(super) async fn lookup(
    resolver: &TokioResolver,
    host: &str,
) -> Result<BTreeSet<IpAddr>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(BTreeSet::from([address]));
    }
    let found = resolver
        .lookup_ip(host)
        .await
        .map_err(|error| error.to_string())?;
    let addresses: BTreeSet<_> = found.iter().collect();
    if addresses.is_empty() {
        return Err("no address".to_owned());
    }
    Ok(addresses)
}

/// The addresses of `host:port`.
pub(super) async fn endpoint(
    resolver: &TokioResolver,
    endpoint: &str,
) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = host_and_port(endpoint)?;
    let addresses = lookup(resolver, host).await?;
    Ok(addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

/// The parts of `host:port`.
pub(super) fn host_and_port(endpoint: &str) -> Result<(&str, u16), String> {
    endpoint
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or_else(|| format!("`{endpoint}` is not host:port"))
}

/// The host of `http(s)://host[:port]`.
pub(super) fn host_of_url(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next();
    }
    authority.split(':').next()
}

/// Names of this edge have to lead to the addresses that it advertises; all others somewhere.
pub(super) async fn check(
    report: &mut Report,
    resolver: &TokioResolver,
    config: &EdgeConfig,
    topology: Option<&Topology>,
) {
    let ours: BTreeSet<IpAddr> = config.advertise.iter().copied().collect();
    let mut own = BTreeSet::new();
    own.extend(host_of_url(&config.sfu_endpoint).map(str::to_owned));
    own.extend(
        config
            .backbone_endpoint
            .rsplit_once(':')
            .map(|(host, _)| host.to_owned()),
    );
    let declared = topology.and_then(|topology| topology.edge(&config.edge));
    if let Some((_, edge)) = declared {
        own.insert(edge.host().to_string());
    }
    for name in own {
        leads_to_us(report, resolver, &name, &ours, "this edge").await;
    }
    let Some(topology) = topology else {
        report.skip(DNS, "names of the topology", "give --topology DIR");
        return;
    };
    let Some((region, _)) = declared else {
        report.fail(
            DNS,
            config.edge.to_string(),
            "the topology has no such edge",
            "the coordinator refuses it: correct `edge`, or add it to the region's file",
        );
        return;
    };
    if *region.name() != config.region {
        report.fail(
            DNS,
            config.edge.to_string(),
            format!(
                "is configured for region {}, the topology has it in {}",
                config.region,
                region.name()
            ),
            "the coordinator refuses it: correct `region`",
        );
    }
    for name in region.dns() {
        leads_to_us(report, resolver, name.as_str(), &ours, "the region").await;
    }
    let mut others: BTreeSet<String> = BTreeSet::new();
    others.extend(host_of_url(topology.coordinator().public_url()).map(str::to_owned));
    for (region, edge) in topology.edges() {
        others.insert(edge.host().to_string());
        if let Some(turn) = region.turn()
            && let Host::Name(name) = turn.host()
        {
            others.insert(name.to_string());
        }
    }
    let mut resolved = 0;
    for name in others {
        match lookup(resolver, &name).await {
            Ok(_) => resolved += 1,
            Err(error) => report.fail(
                DNS,
                name,
                error,
                "make the record that terraform/rendered/dns/records.zone has, or correct the name",
            ),
        }
    }
    report.ok(
        DNS,
        "other names of the topology",
        format!("{resolved} lead somewhere"),
    );
}

async fn leads_to_us(
    report: &mut Report,
    resolver: &TokioResolver,
    name: &str,
    ours: &BTreeSet<IpAddr>,
    whose: &str,
) {
    match lookup(resolver, name).await {
        Ok(found) if !found.is_disjoint(ours) => {
            report.ok(DNS, name, format!("leads to {}", list(&found)));
        }
        Ok(found) => report.warn(
            DNS,
            name,
            format!(
                "is a name of {whose} and leads to {}, not to {}",
                list(&found),
                list(ours)
            ),
            "correct the record, or `advertise`; after a change wait for the record's time to live",
        ),
        Err(error) => report.fail(
            DNS,
            name,
            error,
            "make a record with the edge's public address",
        ),
    }
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}
