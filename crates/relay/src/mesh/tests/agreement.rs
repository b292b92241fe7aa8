//! Whatever happens in whatever order, edges agree in the end.

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Plan(u8),
    Participant { at: u8, n: u8, publishes: bool },
    Depart { at: u8, n: u8 },
    Want { at: u8, n: u8 },
    Unwant { at: u8, n: u8 },
    Cut { a: u8, b: u8 },
    Mend { a: u8, b: u8 },
    Replace { a: u8, b: u8 },
    Silent { a: u8, b: u8 },
    Flow,
    Later,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (at, n) = (0u8..4, 0u8..4);
    proptest::collection::vec(
        prop_oneof![
            any::<u8>().prop_map(Step::Plan),
            (at.clone(), n.clone(), any::<bool>())
                .prop_map(|(at, n, publishes)| Step::Participant { at, n, publishes }),
            (at.clone(), n.clone()).prop_map(|(at, n)| Step::Depart { at, n }),
            (at.clone(), n.clone()).prop_map(|(at, n)| Step::Want { at, n }),
            (at.clone(), n).prop_map(|(at, n)| Step::Unwant { at, n }),
            (at.clone(), 1u8..4).prop_map(|(a, d)| Step::Cut { a, b: (a + d) % 4 }),
            (at.clone(), 1u8..4).prop_map(|(a, d)| Step::Mend { a, b: (a + d) % 4 }),
            (at.clone(), 1u8..4).prop_map(|(a, d)| Step::Replace { a, b: (a + d) % 4 }),
            (at, 1u8..4).prop_map(|(a, d)| Step::Silent { a, b: (a + d) % 4 }),
            Just(Step::Flow),
            Just(Step::Later),
        ],
        1..40,
    )
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Trees over all four edges for all four roots, shaped by `shape`.
fn any_plan(epoch: u64, shape: u8) -> RoomPlan {
    let trees = (0..4usize)
        .map(|root| {
            let order: Vec<_> = (0..4)
                .map(|i| (root + i * if shape & 1 == 1 { 1 } else { 3 }) % 4)
                .collect();
            let branches = (1..4)
                .map(|i| Branch {
                    edge: edge(NAMES[order[i]]),
                    parent: edge(NAMES[order[if shape >> (1 + i) & 1 == 1 { 0 } else { i - 1 }]]),
                    backup: Some(edge(NAMES[order[0]])).filter(|_| i > 1),
                })
                .collect();
            RelayTree {
                root: edge(NAMES[root]),
                branches,
            }
        })
        .collect();
    RoomPlan {
        room: room(),
        epoch: Epoch(epoch),
        trees,
    }
}

proptest! {
    /// After the last change everybody knows everybody, and each wanted track arrives once over
    /// each link, and nothing else does.
    #[test]
    fn edges_agree_in_the_end(steps in steps()) {
        let mut world = World::new(&NAMES);
        let (mut epoch, mut version) = (1, 1);
        let mut there: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        let mut publishing: BTreeMap<(u8, u8), bool> = BTreeMap::new();
        let mut wants: BTreeSet<(u8, u8, u8)> = BTreeSet::new();
        // Participant and track `16 * edge + n` live at that edge.
        let id = |at: u8, n: u8| 16 * at + n + 1;
        world.plan(&any_plan(epoch, 0));
        for step in steps {
            world.now = world.now + Duration::from_millis(100);
            let now = world.now;
            match step {
                Step::Plan(shape) => {
                    epoch += 1;
                    world.plan(&any_plan(epoch, shape));
                }
                Step::Participant { at, n, publishes } => {
                    version += 1;
                    let name = NAMES[usize::from(at)];
                    world.at(name).local_participant(&room(), record(name, id(at, n), version, publishes));
                    there.insert((at, n), version);
                    publishing.insert((at, n), publishes);
                }
                Step::Depart { at, n } => {
                    version += 1;
                    let departure = Departure { participant: participant(id(at, n)), version, reason: LeaveReason::Left };
                    world.at(NAMES[usize::from(at)]).local_departure(&room(), &departure);
                    there.remove(&(at, n));
                    publishing.remove(&(at, n));
                }
                Step::Want { at, n } => {
                    let of = (at + 1 + n % 3) % 4;
                    world.at(NAMES[usize::from(at)]).want(now, &room(), &track(id(of, n)));
                    wants.insert((at, of, n));
                }
                Step::Unwant { at, n } => {
                    let of = (at + 1 + n % 3) % 4;
                    world.at(NAMES[usize::from(at)]).unwant(now, &room(), &track(id(of, n)));
                    wants.remove(&(at, of, n));
                }
                Step::Cut { a, b } => world.cut(NAMES[usize::from(a)], NAMES[usize::from(b)]),
                Step::Mend { a, b } => world.mend(NAMES[usize::from(a)], NAMES[usize::from(b)]),
                Step::Replace { a, b } => world.replace(NAMES[usize::from(a)], NAMES[usize::from(b)]),
                Step::Silent { a, b } => {
                    world.at(NAMES[usize::from(a)]).peer_silent(now, &edge(NAMES[usize::from(b)]));
                }
                Step::Flow => world.flow(),
                Step::Later => world.settle(),
            }
        }
        for (a, b) in world.cuts.clone() {
            world.mend(a.as_str(), b.as_str());
        }
        let now = world.now;
        for name in NAMES {
            for other in NAMES {
                world.at(name).peer_heard(now, &edge(other));
            }
        }
        world.settle();
        world.flow();
        for _ in 0..6 {
            world.wait(2);
            world.flow();
        }
        for (at, name) in (0u8..).zip(NAMES) {
            for (of, root) in (0u8..).zip(NAMES).filter(|&(of, _)| of != at) {
                let wanted: BTreeMap<_, _> = there.iter().filter(|((edge, _), _)| *edge == of)
                    .map(|(&(_, n), &version)| (participant(id(of, n)), version)).collect();
                let known = world.rosters.get(&(edge(name), edge(root))).cloned().unwrap_or_default();
                prop_assert_eq!(known, wanted, "{}'s roster of {}", name, root);
            }
        }
        for (at, of, n) in wants {
            let published = publishing.get(&(of, n)).copied().unwrap_or(false);
            let copies = world.copies(NAMES[usize::from(at)], &track(id(of, n)));
            prop_assert_eq!(copies, usize::from(published), "copies of {} at {}", id(of, n), at);
        }
        for ((to, from, relay), track) in &world.routes {
            prop_assert_eq!(world.sending.get(&(from.clone(), to.clone(), *relay)), Some(track));
        }
        prop_assert_eq!(world.routes.len(), world.sending.len());
        let mut arriving = BTreeSet::new();
        for ((to, _, _), track) in &world.routes {
            prop_assert!(arriving.insert((to.clone(), track.clone())), "two copies at {}", to);
        }
    }
}
