//! A few edges with every message and packet: rooms, forwarders, relay trees, hops and the registry as
//! edges and the coordinator run them, on a network that delays, loses and reorders, is cut, and on
//! hosts that die and start again.
//!
//! People join, leave, publish, mute, speak, and change what they want. What the cores decide is
//! theirs; what joins them (`edge/`, `coordinator.rs`) does what the shells do and no more. After the
//! last fault is mended the run goes on until everything is as it should be, or [`BOUND`] is over.

mod check;
mod client;
mod coordinator;
mod edge;
mod event;
mod faults;
mod geography;
mod network;
mod people;
mod scene;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_placement::world::Dice;
use sluice_types::ids::{EdgeId, MeetingId};
use sluice_types::topology::Topology;
use sluice_types::units::Time;

use self::client::Client;
use self::coordinator::{Coordinator, Store};
use self::edge::EdgeHost;
use self::event::{Carried, Event, Running};
use self::faults::Fault;
use self::network::{End, Health, HostIx, KEEP_ALIVE, Network};
use self::scene::Scene;
pub use self::scene::Trace;
use self::watch::Watch;
pub(crate) use self::watch::unsound;
use crate::agenda::Agenda;
use crate::{Faults, Outcome};

/// How long after the last fault everybody must have what they want: the longest silences, backoffs
/// and patiences of edges and coordinator, one after the other.
pub const BOUND: Duration = Duration::from_secs(30);

/// How long people and faults do what they do.
const RESTLESS: Duration = Duration::from_secs(15);

/// How often it is looked whether everything is as it should be, and how often in a row it has to.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 3;

/// Something that is broken on purpose, to see that it is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Edges give some packets to a participant twice.
    DeliverTwice,
    /// Edges never tell a parent that a relay is no longer wanted.
    LoseUnsubscribes,
    /// Edges lose some subscriptions.
    LoseSubscriptions,
    /// Edges tell their children nothing that changes in a roster.
    LoseRosterChanges,
    /// Edges forget which plan they follow, and go back to the room's first one.
    FollowOldPlans,
    /// The coordinator gives epochs again.
    RepeatEpochs,
    /// Edges read plans so that trees lead back to where they came from.
    PlanInCircles,
}

impl Sabotage {
    /// Each with its name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("deliver-twice", Self::DeliverTwice),
        ("lose-unsubscribes", Self::LoseUnsubscribes),
        ("lose-subscriptions", Self::LoseSubscriptions),
        ("lose-roster-changes", Self::LoseRosterChanges),
        ("follow-old-plans", Self::FollowOldPlans),
        ("repeat-epochs", Self::RepeatEpochs),
        ("plan-in-circles", Self::PlanInCircles),
    ];
}

/// Runs one seed; `trace` is told what happens.
///
/// # Panics
/// When the made-up topology is not sound, which is a mistake in this crate.
#[must_use]
pub fn run(seed: u64, sabotage: Option<Sabotage>, trace: Option<Trace>) -> Outcome {
    Simulation::new(seed, sabotage, trace).run()
}

struct Simulation {
    seed: u64,
    scene: Scene,
    topology: Topology,
    edges: Vec<EdgeHost>,
    coordinator: Coordinator,
    store: Store,
    clients: Vec<Client>,
    faults: Faults,
    events: u64,
    /// Since when edges follow each other around, by room and root.
    loops: BTreeMap<(MeetingId, EdgeId), Time>,
    /// When the last fault is mended, and people rest.
    quiet: Time,
}

impl Simulation {
    fn new(seed: u64, sabotage: Option<Sabotage>, trace: Option<Trace>) -> Self {
        let mut dice = Dice::new(seed);
        let topology = geography::topology(&mut dice);
        // Whoever changes that module has a test that says so first.
        #[allow(clippy::expect_used)]
        let topology = topology.expect("a sound topology");
        let ids: Vec<_> = topology
            .edges()
            .map(|(region, edge)| (edge.id().clone(), region.name().clone()))
            .collect();
        let mut net = Network::new(ids.len() + 1);
        connect(&mut net, &topology, &mut dice);
        let by_id = ids.iter().enumerate();
        let mut scene = Scene {
            now: Time::ZERO,
            agenda: Agenda::new(),
            dice,
            net,
            by_id: by_id.map(|(host, (id, _))| (id.clone(), host)).collect(),
            edges: ids.clone(),
            watch: Watch::default(),
            sabotage,
            trace,
        };
        let coordinator = Coordinator::start(&mut scene, 0, &topology);
        let mut edges = Vec::new();
        for host in 0..ids.len() {
            edges.push(start_edge(&mut scene, &topology, host));
        }
        let clients = people::gather(&mut scene, &topology);
        let from = Duration::from_secs(4);
        let mended = faults::plan(&mut scene, from, RESTLESS);
        Self {
            seed,
            topology,
            edges,
            coordinator,
            store: Store::default(),
            clients,
            faults: Faults::default(),
            events: 0,
            loops: BTreeMap::new(),
            quiet: Time::ZERO + mended.max(from + RESTLESS),
            scene,
        }
    }

    fn run(mut self) -> Outcome {
        let mut look = self.quiet + LOOK;
        let mut fine = 0;
        let mut settled = None;
        while let Some((at, event)) = self.scene.agenda.next() {
            if at >= look {
                self.scene.now = look;
                match self.unsettled() {
                    None => fine += 1,
                    Some((invariant, what)) => {
                        fine = 0;
                        if look.since(self.quiet) >= BOUND {
                            self.scene.watch.breaks(invariant, look, what);
                        }
                    }
                }
                if fine == LOOKS {
                    let first = look.since(self.quiet + LOOK * (LOOKS - 1));
                    settled = Some(first.as_millis() as u64);
                    break;
                }
                look = look + LOOK;
            }
            self.scene.now = at;
            self.events += 1;
            self.happen(event);
            self.check();
            if self.scene.watch.broken.is_some() {
                break;
            }
        }
        self.faults.datagrams_lost = self.scene.net.lost;
        self.faults.datagrams_reordered = self.scene.net.reordered;
        Outcome {
            seed: self.seed,
            events: self.events,
            virtual_ms: self.scene.now.as_millis(),
            settled_ms: settled,
            faults: self.faults,
            broken: self.scene.watch.broken,
        }
    }

    fn happen(&mut self, event: Event) {
        let scene = &mut self.scene;
        match event {
            Event::Arrive { to, carried } => {
                if scene.net.is_open(to)
                    && let Some(host) = scene.net.host(to)
                {
                    match carried {
                        Carried::FromEdge(message) => self.coordinator.arrive(scene, to, message),
                        carried => self.edges[host].arrive(scene, to, carried),
                    }
                }
            }
            Event::Datagram { to, bytes } => {
                if scene.net.is_open(to)
                    && let Some(host) = scene.net.host(to)
                {
                    self.edges[host].datagram(scene, to, bytes);
                }
            }
            Event::Closed { end } => {
                if scene.net.is_open(end) {
                    scene.close(end);
                    self.lost(end);
                }
            }
            Event::LookAfter { end } => match scene.net.look_after(scene.now, end) {
                Health::Fine => scene.after(KEEP_ALIVE, Event::LookAfter { end }),
                Health::Over => self.lost(end),
                Health::Gone => {}
            },
            Event::Edge(edge, event) => {
                if self.is_running(edge) {
                    self.edges[edge.host].handle(&mut self.scene, event);
                }
            }
            Event::Coordinator(run, event) => {
                let host = scene.coordinator();
                if self.is_running(Running { host, run }) {
                    let store = &mut self.store;
                    self.coordinator.handle(&mut self.scene, store, event);
                }
            }
            Event::Told(stay, message) => self.told(stay, message),
            Event::Ask(client, ask) => self.ask(client, ask),
            Event::Fault(fault) => self.fail(fault),
        }
    }

    fn is_running(&self, at: Running) -> bool {
        self.scene.net.is_alive(at.host) && self.scene.net.run_of(at.host) == at.run
    }

    fn lost(&mut self, end: End) {
        let Some(host) = self.scene.net.host(end) else {
            return;
        };
        match self.edges.get_mut(host) {
            Some(edge) => edge.lost(&mut self.scene, end),
            None => self.coordinator.lost(end),
        }
    }

    fn fail(&mut self, fault: Fault) {
        let scene = &mut self.scene;
        scene.note(|| format!("{fault:?}"));
        let coordinator = scene.coordinator();
        match fault {
            Fault::CrashEdge { host, restart } => {
                if !scene.net.is_alive(host) {
                    return;
                }
                self.faults.edge_crashes += 1;
                scene.net.stop(host);
                self.edge_gone(host);
                if let Some(wait) = restart {
                    let start = Event::Fault(Fault::StartEdge { host });
                    self.scene.after(wait, start);
                }
            }
            Fault::StartEdge { host } => {
                self.faults.edge_restarts += 1;
                scene.net.start(host);
                self.edges[host] = start_edge(scene, &self.topology, host);
            }
            Fault::CrashCoordinator { restart } => {
                if scene.net.is_alive(coordinator) {
                    self.faults.coordinator_crashes += 1;
                    scene.net.stop(coordinator);
                    scene.after(restart, Event::Fault(Fault::StartCoordinator));
                }
            }
            Fault::StartCoordinator => {
                scene.net.start(coordinator);
                let run = scene.net.run_of(coordinator);
                self.coordinator = Coordinator::start(scene, run, &self.topology);
            }
            Fault::Cut { pairs, link, cut } => {
                if cut && !pairs.is_empty() {
                    match link {
                        true => self.faults.links_cut += 1,
                        false => self.faults.edges_cut_off += 1,
                    }
                }
                for (a, b) in pairs {
                    scene.net.cut(a, b, cut);
                    scene.release(a, b);
                }
            }
        }
    }
}

fn start_edge(scene: &mut Scene, topology: &Topology, host: HostIx) -> EdgeHost {
    let run = scene.net.run_of(host);
    let (id, region) = scene.edges[host].clone();
    let capacity = topology.edge(&id).map_or(0, |(_, edge)| edge.capacity());
    EdgeHost::start(scene, Running { host, run }, id, region, capacity)
}

/// Joins all hosts as the topology declares; where it declares no link, packets take long.
fn connect(net: &mut Network<Carried>, topology: &Topology, dice: &mut Dice) {
    let edges: BTreeMap<_, _> = (0..).zip(topology.edges()).collect();
    let coordinator = edges.len();
    for (&a, (a_region, _)) in &edges {
        for (&b, (b_region, _)) in edges.range(a + 1..) {
            let link = topology.link_between(a_region.name(), b_region.name());
            let delay = match link {
                Some(link) => link.round_trip().duration() / 2,
                None if a_region.name() == b_region.name() => Duration::from_micros(500),
                None => Duration::from_millis(150),
            };
            net.set_path(a, b, delay, dice);
        }
        let delay = Duration::from_millis(1 + dice.below(120));
        net.set_path(a, coordinator, delay, dice);
    }
}
