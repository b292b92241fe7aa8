//! Where edges are, by name: A, AAAA and SRV records, asked for again when their time to live is
//! over, so that a change of address needs no restart.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use sluice_types::ids::EdgeId;
use thiserror::Error;

use crate::state::Shared;

/// The shortest and the longest time between two questions, whatever the records say.
const REFRESH_MIN: Duration = Duration::from_secs(5);
const REFRESH_MAX: Duration = Duration::from_secs(3_600);

/// The most addresses of one edge.
const ADDRESSES_MAX: usize = 16;

/// Why a name leads nowhere.
#[derive(Debug, Error)]
pub(crate) enum ResolveError {
    #[error("`{0}` is neither `host:port` nor a name with SRV records (`_service._udp.…`)")]
    Form(String),
    #[error("`{name}` cannot be resolved: {reason}")]
    Lookup { name: String, reason: String },
}

/// Addresses, and until when they may be used; for ever when they were literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) until: Option<Instant>,
}

/// Who is asked.
pub(crate) struct Names(Result<TokioResolver, String>);

impl Names {
    /// These name servers, or those of the host when there are none.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let resolver = if servers.is_empty() {
            TokioResolver::builder_tokio().and_then(|builder| builder.build())
        } else {
            let server = |server: &SocketAddr| {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at);
                NameServerConfig::new(server.ip(), true, ways.into())
            };
            let servers = servers.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
        };
        Self(resolver.map_err(|error| error.to_string()))
    }

    /// The addresses of `IP:port`, `name:port` or `_service._udp.name`.
    pub(crate) async fn resolve(&self, endpoint: &str) -> Result<Resolved, ResolveError> {
        if let Ok(address) = endpoint.parse() {
            return Ok(Resolved {
                addresses: vec![address],
                until: None,
            });
        }
        let resolver = self.0.as_ref().map_err(|reason| ResolveError::Lookup {
            name: endpoint.to_owned(),
            reason: reason.clone(),
        })?;
        look_up(resolver, endpoint).await
    }
}

async fn look_up(resolver: &TokioResolver, endpoint: &str) -> Result<Resolved, ResolveError> {
    let failed = |name: &str, reason: String| ResolveError::Lookup {
        name: name.to_owned(),
        reason,
    };
    let mut until = None;
    let mut targets = Vec::new();
    if endpoint.starts_with('_') {
        let found = resolver
            .lookup(endpoint, RecordType::SRV)
            .await
            .map_err(|error| failed(endpoint, error.to_string()))?;
        until = Some(found.valid_until());
        for record in found.answers() {
            if let RData::SRV(srv) = &record.data {
                targets.push((srv.priority, srv.target.to_utf8(), srv.port));
            }
        }
        targets.sort();
    } else {
        let (host, port) = endpoint
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .ok_or_else(|| ResolveError::Form(endpoint.to_owned()))?;
        targets.push((0, host.to_owned(), port));
    }
    let mut addresses = Vec::new();
    for (_, host, port) in targets {
        let found = resolver
            .lookup_ip(host.as_str())
            .await
            .map_err(|error| failed(&host, error.to_string()))?;
        let valid = found.valid_until();
        until = Some(until.map_or(valid, |until: Instant| until.min(valid)));
        // Name servers rotate their answers, which is no change.
        let ips: BTreeSet<_> = found.iter().collect();
        addresses.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port)));
    }
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(failed(endpoint, "no address".to_owned()));
    }
    Ok(Resolved { addresses, until })
}

/// Asks again whenever the answer is too old, for as long as the edge is registered over this
/// connection, and tells every edge when it changed. A name that cannot be resolved for a while keeps its last addresses.
pub(crate) fn keep_fresh(
    shared: Shared,
    edge: EdgeId,
    connection: u64,
    endpoint: String,
    first: Resolved,
) {
    let Some(mut until) = first.until else {
        return;
    };
    let mut addresses = first.addresses;
    tokio::spawn(async move {
        loop {
            let wait = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(wait.clamp(REFRESH_MIN, REFRESH_MAX)).await;
            let registered = shared
                .registry()
                .edge(&edge)
                .is_some_and(|state| state.connection == connection);
            if !registered {
                return;
            }
            match shared.names.resolve(&endpoint).await {
                Ok(fresh) => {
                    until = fresh.until.unwrap_or_else(Instant::now);
                    if fresh.addresses != addresses {
                        tracing::info!(%edge, "an edge has other addresses");
                        addresses.clone_from(&fresh.addresses);
                        shared.registry().set_addresses(&edge, fresh.addresses);
                        shared.publish_directory();
                    }
                }
                Err(error) => tracing::warn!(%edge, %error, "the last addresses stay"),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_resolver::proto::op::{Message, MessageType, OpCode};
    use hickory_resolver::proto::rr::{Name, Record, rdata};
    use tokio::net::UdpSocket;

    use super::*;

    /// Answers A, AAAA and SRV for `edge.test`, with a time to live of 7 s.
    async fn name_server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).expect("DNS");
                let query = question.queries[0].clone();
                let mut answer =
                    Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
                let data = match query.query_type() {
                    RecordType::A => Some(RData::A(rdata::A(Ipv4Addr::new(192, 0, 2, 7)))),
                    RecordType::AAAA => Some(RData::AAAA(rdata::AAAA(Ipv6Addr::LOCALHOST))),
                    RecordType::SRV => {
                        let target = Name::from_ascii("edge.test.").expect("a name");
                        Some(RData::SRV(rdata::SRV::new(0, 0, 7_409, target)))
                    }
                    _ => None,
                };
                answer.add_query(query.clone());
                if let Some(data) = data {
                    answer.add_answer(Record::from_rdata(query.name().clone(), 7, data));
                }
                let bytes = answer.to_vec().expect("DNS");
                let _ = socket.send_to(&bytes, from).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn names_and_services_lead_to_addresses_for_their_time_to_live() {
        let names = Names::new(&[name_server().await]);
        for endpoint in ["edge.test.:7409", "_sluice._udp.edge.test."] {
            let resolved = names.resolve(endpoint).await.expect("known");
            assert!(
                resolved
                    .addresses
                    .contains(&"192.0.2.7:7409".parse().expect("an address")),
                "{resolved:?}"
            );
            let left = resolved
                .until
                .expect("not for ever")
                .saturating_duration_since(Instant::now());
            assert!(left <= Duration::from_secs(7));
        }
    }

    #[tokio::test]
    async fn literal_addresses_need_no_names() {
        let names = Names::new(&[]);
        let resolved = names.resolve("192.0.2.1:5").await.expect("an address");
        assert_eq!(resolved.until, None);
        assert!(matches!(
            names.resolve("nonsense").await,
            Err(ResolveError::Form(_))
        ));
    }
}
