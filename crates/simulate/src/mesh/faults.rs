//! What fails, and is mended, when.

use std::time::Duration;

use sluice_placement::world::Dice;

use super::event::Event;
use super::network::HostIx;
use super::scene::Scene;

/// Something that fails, or is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// An edge dies at once, as if its machine had lost power.
    CrashEdge {
        host: HostIx,
        restart: Option<Duration>,
    },
    StartEdge {
        host: HostIx,
    },
    CrashCoordinator {
        restart: Duration,
    },
    StartCoordinator,
    /// Hosts can no longer reach each other, or can again.
    Cut {
        pairs: Vec<(HostIx, HostIx)>,
        cut: bool,
    },
}

/// How many of each there will be, by chance.
const FAULTS_MAX: u64 = 7;

/// The longest that something stays broken: long enough that everybody notices, and short enough that
/// some do not.
const BROKEN_MS_MAX: u64 = 14_000;

/// Plans faults over some time; gives when the last of them is mended.
pub(super) fn plan(scene: &mut Scene, from: Duration, over: Duration) -> Duration {
    let mut last = from;
    let count = scene.dice.below(FAULTS_MAX + 1);
    for _ in 0..count {
        let at = from + scene.part_of(over);
        let broken = Duration::from_millis(50 + scene.dice.below(BROKEN_MS_MAX));
        let coordinator = scene.coordinator();
        let host = scene.dice.below(coordinator as u64) as usize;
        let fault = match scene.dice.below(10) {
            0..3 => {
                let restart = (scene.dice.below(10) < 7).then_some(broken);
                Fault::CrashEdge { host, restart }
            }
            3..6 => cut(scene, host),
            6..8 => isolate(&mut scene.dice, host, coordinator),
            _ => Fault::CrashCoordinator { restart: broken },
        };
        if let Fault::Cut { pairs, .. } = &fault {
            let mended = Fault::Cut {
                pairs: pairs.clone(),
                cut: false,
            };
            scene.after(at + broken, Event::Fault(mended));
        }
        scene.after(at, Event::Fault(fault));
        last = last.max(at + broken);
    }
    last
}

/// The link between an edge's region and another.
fn cut(scene: &mut Scene, host: HostIx) -> Fault {
    let here = scene.edges[host].1.clone();
    let other = scene.dice.below(scene.edges.len() as u64) as usize;
    let there = scene.edges[other].1.clone();
    let mut pairs = Vec::new();
    for (a, (_, region)) in scene.edges.iter().enumerate().filter(|(_, e)| e.1 == here) {
        for (b, _) in scene.edges.iter().enumerate().filter(|(_, e)| e.1 == there) {
            if *region != there {
                pairs.push((a, b));
            }
        }
    }
    Fault::Cut { pairs, cut: true }
}

/// An edge is cut off from the coordinator, or from everybody.
fn isolate(dice: &mut Dice, host: HostIx, coordinator: HostIx) -> Fault {
    let others = match dice.below(2) {
        0 => coordinator..coordinator + 1,
        _ => 0..coordinator + 1,
    };
    let pairs = others.filter(|&other| other != host);
    Fault::Cut {
        pairs: pairs.map(|other| (host, other)).collect(),
        cut: true,
    }
}
