//! One machine that feels like the planet: a relay for each direction of each backbone link, which
//! delays, loses and limits what the topology says it does.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::{Link, Topology};

use super::{ImpairmentRelay, LinkFigures, LossModel, RelaySettings};

/// An edge of the mesh.
#[derive(Debug, Clone)]
pub struct WanEnd {
    /// Its name.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// Where its backbone listens.
    pub backbone: SocketAddr,
}

/// The relays between edges; dropping it ends them.
#[derive(Default)]
pub struct Wan {
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
    /// Starts a relay on loopback for each direction of each link between two of these edges. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub async fn start(topology: &Topology, edges: &[WanEnd]) -> io::Result<Self> {
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
                let relay = ImpairmentRelay::start(any, to.backbone, settings).await?;
                relays.insert((from.edge.clone(), to.edge.clone()), relay);
            }
        }
        Ok(Self { relays })
    }

    /// Lets nothing through between two edges any more, whoever dialled.
    pub fn cut(&self, a: &EdgeId, b: &EdgeId) {
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

    /// Where an edge reaches its neighbours, each as `EDGE=IP:PORT`.
    #[must_use]
    pub fn via(&self, edge: &EdgeId) -> Vec<String> {
        self.relays
            .iter()
            .filter(|((from, _), _)| from == edge)
            .map(|((_, to), relay)| format!("{to}={}", relay.local_address()))
            .collect()
    }
}

impl std::fmt::Debug for Wan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.relays.keys()).finish()
    }
}
