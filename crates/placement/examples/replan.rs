//! How long it takes to plan all rooms anew that use a link when it fails.
//!
//! `cargo run --release -p sluice-placement --example replan -- [ROOMS] [REGIONS] [SIZE_MAX]`
// It is a shell: it owns the clock.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_placement::world::{self, Dice};
use sluice_placement::{Demand, Limits, Planner, Rules};
use sluice_types::ids::MeetingId;
use sluice_types::units::Bitrate;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    let rooms = arguments.next().unwrap_or(10_000);
    let regions = arguments.next().unwrap_or(50);
    let size_max = arguments.next().unwrap_or(5).max(2);
    let limits = Limits {
        hops_max: 6,
        fan_out_max: 4,
        stretch_permille: 1_500,
    };
    let graph = world::mesh(regions, 3, Bitrate::mbps(1_000_000), 7);
    let mut planner = Planner::new(graph, Rules::from(limits));
    let mut dice = Dice::new(11);
    let started = Clocks::start();
    let mut trees = 0;
    for number in 0..rooms {
        let size = 2 + dice.below(size_max as u64 - 1) as usize;
        let edges: BTreeSet<_> = world::room(&mut dice, regions, size);
        let Ok(room) = format!("mtg_{number:010}").parse::<MeetingId>() else {
            continue;
        };
        let demand = Demand::among(&edges, Bitrate::kbps(2_500));
        if let Some(changed) = planner.set_demand(&room, demand) {
            trees += changed.planned.trees.len();
        }
    }
    println!(
        "{rooms} rooms of 2 to {size_max} of {regions} regions, {trees} trees: first plans {}",
        started.elapsed()
    );

    let names: Vec<_> = (0..regions).map(world::name).collect();
    let pairs = (0..regions).flat_map(|a| (a + 1..regions).map(move |b| (a, b)));
    let mut links: Vec<_> = pairs
        .map(|(a, b)| (planner.rooms_over(&names[a], &names[b]), a, b))
        .filter(|(users, ..)| *users > 0)
        .collect();
    links.sort_unstable();
    let places = [("median", links.len() / 2), ("busiest", links.len() - 1)];
    for (which, place) in places {
        let (users, a, b) = links[place];
        let started = Clocks::start();
        let changed = planner.set_link_up(&names[a], &names[b], false);
        let failed = started.elapsed();
        let broken = changed
            .iter()
            .filter(|changed| !changed.planned.broken.is_empty())
            .count();
        planner.set_link_up(&names[a], &names[b], true);
        let stale = planner.stale();
        let started = Clocks::start();
        let back = planner.refresh(usize::MAX);
        println!(
            "{which} of {} links, used by {users} rooms: {} plans in {failed}, {broken} break a limit; back up: \
             {stale} rooms looked at, {} changed in {}",
            links.len(),
            changed.len(),
            back.len(),
            started.elapsed()
        );
    }
}

/// The clock on the wall, and the time that this thread was on a core: they differ on a machine that
/// is busy with something else.
struct Clocks {
    wall: Instant,
    core: Duration,
}

impl Clocks {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            core: on_core(),
        }
    }

    fn elapsed(&self) -> String {
        let (wall, core) = (self.wall.elapsed(), on_core().saturating_sub(self.core));
        format!(
            "{} ms ({} ms on the core)",
            wall.as_millis(),
            core.as_millis()
        )
    }
}

/// Linux counts it in nanoseconds; elsewhere it is 0.
fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
