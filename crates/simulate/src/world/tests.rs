use super::*;

const SMALL: World = World {
    regions: 12,
    edges_each: 3,
    people: 2_000,
    events: 20_000,
    fault_every: 300,
};

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = || SMALL.run(7, &mut |_, _| {});
    assert_eq!(run(), run());
}

#[test]
fn plans_stay_sound_whatever_fails() {
    for seed in 0..6 {
        let report = SMALL.run(seed, &mut |_, _| {});
        assert_eq!(report.outcome.broken, None, "seed {seed}");
        let faults = report.outcome.faults;
        assert!(
            faults.edge_crashes > 5 && faults.links_cut > 5,
            "seed {seed}"
        );
    }
}

#[test]
fn a_thousand_edges_keep_to_all_that_is_checked() {
    let world = World {
        people: 500,
        events: 2_000,
        fault_every: 100,
        ..World::FULL
    };
    let report = world.run(1, &mut |_, _| {});
    assert_eq!(report.outcome.broken, None);
    assert_eq!(report.edges, 1_000);
    // Where most people live, the nearest regions are full.
    assert!(report.placed > 450 && report.rooms > 80, "{report:?}");
    let faults = report.outcome.faults;
    assert!(faults.edge_crashes + faults.links_cut > 3, "{faults:?}");
}

#[test]
fn everybody_has_come_when_that_is_told() {
    let mut told = Vec::new();
    let report = SMALL.run(0, &mut |done, of| told.push((done, of)));
    assert_eq!(report.outcome.broken, None);
    let all = (SMALL.people as u64, SMALL.people as u64 + SMALL.events);
    assert_eq!(told.first(), Some(&all));
}

#[test]
fn a_plan_over_a_dead_link_is_seen() {
    let mut simulation = Simulation::new(SMALL, 3);
    for person in 0..simulation.people.len() {
        simulation.enter(person);
    }
    let used = simulation.links.iter().position(|(a, b)| {
        let over = simulation.planner.rooms_over(a, b);
        over > 0
    });
    let (a, b) = simulation.links[used.expect("a link in use")].clone();
    let plans: Vec<_> = simulation
        .planner
        .rooms()
        .map(|(room, planned)| Changed {
            room: room.clone(),
            planned,
        })
        .collect();
    simulation.planner.set_link_up(&a, &b, false);
    // What was planned before the link failed is no plan for the mesh as it is now.
    simulation.take(plans);
    let broken = simulation.report.outcome.broken.expect("seen");
    assert_eq!(broken.invariant, Invariant::PlansAreSound);
}

#[test]
fn a_load_that_does_not_add_up_is_seen() {
    let mut simulation = Simulation::new(SMALL, 3);
    for person in 0..simulation.people.len() {
        simulation.enter(person);
    }
    assert_eq!(simulation.misaccounted(), None);
    // Somebody is at a standby, and the planner was not told.
    let standby = simulation.planner.rooms().find_map(|(id, planned)| {
        let room = simulation.rooms.iter().position(|room| room.id() == id)?;
        let here = |edge: &EdgeId| {
            let at = simulation
                .edges
                .iter()
                .position(|other| other.id == *edge)? as u16;
            Some((at, simulation.rooms[room].has(at)))
        };
        let last = planned.trees.iter().filter_map(|tree| tree.branches.last());
        let mut outside = last.filter_map(|branch| here(&branch.edge).filter(|(_, has)| !has));
        Some((room, outside.next()?.0))
    });
    let (room, edge) = standby.expect("a standby");
    simulation.rooms[room].enter(edge);
    let (invariant, _) = simulation.misaccounted().expect("seen");
    assert_eq!(invariant, Invariant::LoadsAddUp);
}
