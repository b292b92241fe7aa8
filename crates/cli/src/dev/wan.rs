//! One machine that feels like the planet: a relay for each direction of each backbone link, which
//! delays, loses and limits what the topology says it does.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use sluice_meshnet::impair::{ImpairmentRelay, LinkFigures, LossModel, RelaySettings};
use sluice_types::ids::EdgeId;
use sluice_types::topology::{Link, Topology};

use super::local::DevEdge;

/// The relays between edges; dropping it ends them.
#[derive(Default)]
pub(super) struct Wan {
    /// By who dials whom.
    relays: BTreeMap<(EdgeId, EdgeId), ImpairmentRelay>,
}

fn figures(link: &Link) -> LinkFigures {
    let loss = link.loss().as_fraction();
    LinkFigures {
        delay: link.round_trip().duration() / 2,
        loss: if loss > 0.0 {
            LossModel::Random(loss)
        } else {
            LossModel::None
        },
        rate: Some(link.capacity()),
        ..LinkFigures::default()
    }
}

impl Wan {
    pub(super) async fn start(topology: &Topology, edges: &[DevEdge]) -> io::Result<Self> {
        let mut relays = BTreeMap::new();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        for from in edges {
            for to in edges {
                let Some(link) = topology.link_between(&from.region, &to.region) else {
                    continue;
                };
                let settings = RelaySettings {
                    there: figures(link),
                    back: figures(link),
                    seed: relays.len() as u64 + 1,
                    ..RelaySettings::default()
                };
                let target = SocketAddr::from((Ipv4Addr::LOCALHOST, to.backbone_port()));
                let relay = ImpairmentRelay::start(any, target, settings).await?;
                relays.insert((from.id.clone(), to.id.clone()), relay);
            }
        }
        Ok(Self { relays })
    }

    /// Lets nothing through between two edges any more, whoever dialled.
    pub(super) fn cut(&self, a: &EdgeId, b: &EdgeId) {
        let nothing = LinkFigures {
            loss: LossModel::Random(1.0),
            ..LinkFigures::default()
        };
        for ends in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
            if let Some(relay) = self.relays.get(&ends) {
                relay.set_figures(nothing.clone(), nothing.clone());
            }
        }
    }

    /// Where an edge reaches its neighbours, as `EDGE=IP:PORT,…`.
    pub(super) fn via(&self, edge: &EdgeId) -> String {
        self.relays
            .iter()
            .filter(|((from, _), _)| from == edge)
            .map(|((_, to), relay)| format!("{to}={}", relay.local_address()))
            .collect::<Vec<_>>()
            .join(",")
    }
}
