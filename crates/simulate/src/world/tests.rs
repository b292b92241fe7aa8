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
