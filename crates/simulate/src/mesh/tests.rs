use super::*;
use crate::Invariant;

/// How many seeds each of the tests below runs that look for what breaks.
const SEEDS: u64 = 50;

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed, None, None), run(seed, None, None));
    }
}

#[track_caller]
fn nothing_breaks_from(first: u64) {
    let mut faults = Faults::default();
    for seed in first..first + SEEDS {
        let outcome = run(seed, None, None);
        assert_eq!(
            outcome.broken, None,
            "again: sluice simulate --seed {seed} --trace trace.txt"
        );
        faults.add(&outcome.faults);
    }
    // Nothing breaks where nothing fails.
    assert!(faults.edge_crashes > 20 && faults.edge_restarts > 10);
    assert!(faults.links_cut > 10 && faults.edges_cut_off > 10);
    assert!(faults.coordinator_crashes > 10 && faults.datagrams_lost > 1_000);
}

#[test]
fn nothing_breaks() {
    nothing_breaks_from(0);
}

#[test]
fn nothing_breaks_either() {
    nothing_breaks_from(SEEDS);
}

#[test]
fn nothing_breaks_still() {
    nothing_breaks_from(2 * SEEDS);
}

#[test]
fn nothing_breaks_at_all() {
    nothing_breaks_from(3 * SEEDS);
}

/// With how many seeds each kind of sabotage is tried; not every one gives it an occasion.
const SABOTAGED: u64 = 16;

/// Whatever is broken on purpose is caught, and always as what it is.
#[test]
fn what_is_broken_is_caught() {
    let caught_as: [(Sabotage, &[Invariant]); 7] = [
        (Sabotage::DeliverTwice, &[Invariant::NoDuplicates]),
        (Sabotage::LoseUnsubscribes, &[Invariant::NoIdleRelays]),
        (
            Sabotage::LoseSubscriptions,
            &[Invariant::EverybodyServed, Invariant::NoIdleRelays],
        ),
        (
            Sabotage::LoseRosterChanges,
            &[Invariant::RostersConverge, Invariant::EverybodyServed],
        ),
        (Sabotage::FollowOldPlans, &[Invariant::EpochsRise]),
        (Sabotage::RepeatEpochs, &[Invariant::EpochsRise]),
        (
            Sabotage::PlanInCircles,
            // Who is in a circle hears nothing of the root any more.
            &[
                Invariant::NoLoops,
                Invariant::EverybodyServed,
                Invariant::RostersConverge,
            ],
        ),
    ];
    assert_eq!(caught_as.len(), Sabotage::ALL.len());
    for (sabotage, as_what) in caught_as {
        let mut caught = 0;
        for seed in 0..SABOTAGED {
            if let Some(broken) = run(seed, Some(sabotage), None).broken {
                assert!(
                    as_what.contains(&broken.invariant),
                    "{sabotage:?} was caught at seed {seed} as {broken:?}"
                );
                caught += 1;
            }
        }
        assert!(caught > 0, "{sabotage:?} was not caught");
    }
}

/// A trace is of the same run, and tells of what happens.
#[test]
fn a_trace_changes_nothing() {
    let lines = std::rc::Rc::new(std::cell::RefCell::new(0));
    let count = lines.clone();
    let trace: Trace = Box::new(move |_, _| *count.borrow_mut() += 1);
    assert_eq!(run(5, None, Some(trace)), run(5, None, None));
    assert!(*lines.borrow() > 1_000);
}
