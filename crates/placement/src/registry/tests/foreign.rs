use super::*;
use crate::registry::Cut;

fn planned(epoch: u64, root: &str) -> RoomPlan {
    RoomPlan {
        room: room(),
        epoch: Epoch(epoch),
        trees: vec![RelayTree {
            root: edge(root),
            branches: vec![Branch {
                edge: edge(if root == "west" { "east" } else { "west" }),
                parent: edge(root),
                backup: None,
            }],
        }],
    }
}

#[test]
fn anothers_plan_is_taken_when_it_is_newer_and_planned_on_from_what_flows() {
    let mut registry = registry();
    register(&mut registry, "west");
    register(&mut registry, "east");
    registry.demand(&edge("west"), demand(1));
    registry.demand(&edge("east"), demand(1));
    registry.adopt_plan(planned(5, "west"));
    registry.adopt_plan(planned(4, "east"));
    assert_eq!(registry.plans_of(&edge("east"))[0], planned(5, "west"));
    let outlook = registry.outlooks(&BTreeSet::from([room()])).remove(0);
    assert!(outlook.is_foreign() && !outlook.is_new());
    assert_eq!(outlook.flowing[&edge("west")].len(), 1, "a warm copy");
    // An epoch that another has given is not enacted; a higher one is, and is its own then.
    assert_eq!(plan(&mut registry, 5), None);
    assert!(plan(&mut registry, 6).is_some());
    let outlook = registry.outlooks(&BTreeSet::from([room()])).remove(0);
    assert!(!outlook.is_foreign());
    registry.forget_plan(&room());
    assert!(registry.in_force(&room()).is_some(), "its own plan stays");
    registry.disown_plans();
    registry.forget_plan(&room());
    assert!(registry.in_force(&room()).is_none());
}

#[test]
fn who_waits_elsewhere_is_known_here_and_the_hosts_word_counts_for_all() {
    let (mut here, mut there) = (registry(), registry());
    let now = Time::ZERO;
    here.wait(now, &room(), None, participant(1), "Ada", 7);
    let news = here.waiting_to_tell(now, &room(), &participant(1));
    let (name, since_ms, admitted) = news.expect("nobody else knows");
    assert_eq!((&*name, since_ms, admitted), ("Ada", 7, None));
    assert_eq!(here.waiting_to_tell(now, &room(), &participant(1)), None);
    there.adopt_waiting(now, &room(), participant(1), &name, since_ms, admitted);
    assert_eq!(there.waiting(&room()).count(), 1);
    assert!(there.admit(&room(), &participant(1), true));
    let word = there.waiting_to_tell(now, &room(), &participant(1));
    let (name, since_ms, admitted) = word.expect("it is news");
    here.adopt_waiting(now, &room(), participant(1), &name, since_ms, admitted);
    let word = here.wait(
        now,
        &room(),
        Some(&participant(1)),
        participant(2),
        "Ada",
        9,
    );
    assert_eq!(word, Word::Admitted(participant(1)));
    // Late news of its waiting takes nothing back.
    here.adopt_waiting(now, &room(), participant(1), "Ada", 7, None);
    let word = here.wait(
        now,
        &room(),
        Some(&participant(1)),
        participant(2),
        "Ada",
        9,
    );
    assert_eq!(word, Word::Admitted(participant(1)));
}

const THREE: [(&str, f64); 3] = [("west", -75.0), ("middle", 5.0), ("east", 139.0)];

fn three(links: &[(&str, &str)], policy: &str) -> Registry {
    let mut text =
        format!("name = \"test\"\nregions = [\"west\", \"middle\", \"east\"]\n{policy}\n");
    for (a, b) in links {
        text += &format!(
            "[[link]]\nends = [\"{a}\", \"{b}\"]\nround_trip_ms = 80\ncapacity_mbps = 1000\ncost_per_gb = 0.02\n"
        );
    }
    registry_of(&text, &THREE)
}

#[test]
fn a_topology_says_whom_it_would_cut_off() {
    let mut registry = three(
        &[("west", "middle"), ("middle", "east"), ("west", "east")],
        "",
    );
    for region in ["west", "middle", "east"] {
        register(&mut registry, region);
    }
    let same = registry.topology().clone();
    registry.demand(&edge("west"), demand(1));
    registry.demand(&edge("east"), demand(2));
    assert_eq!(registry.cuts(&same), []);
    let longer = three(&[("west", "middle"), ("middle", "east")], "");
    assert_eq!(registry.cuts(longer.topology()), [], "there is another way");
    let denied = three(
        &[("west", "middle"), ("middle", "east")],
        "[policy]\nregions_denied = [\"middle\"]\n",
    );
    let apart = Cut::Apart {
        a: "east".parse().expect("a region"),
        b: "west".parse().expect("a region"),
        meetings: 1,
    };
    assert_eq!(registry.cuts(denied.topology()), [apart]);
    let denied = three(
        &[("west", "middle"), ("middle", "east"), ("west", "east")],
        "[policy]\nregions_denied = [\"east\"]\n",
    );
    let cuts = registry.cuts(denied.topology());
    assert!(
        matches!(&cuts[..], [Cut::Denied { region, participants: 2 }, Cut::Apart { .. }] if region.as_str() == "east"),
        "{cuts:?}"
    );
    let two = registry_of(TOPOLOGY, &[("west", -75.0), ("east", 139.0)]);
    assert_eq!(registry.cuts(two.topology()), [], "nobody is in the middle");
    registry.demand(&edge("middle"), demand(4));
    let cuts = registry.cuts(two.topology());
    assert!(
        matches!(&cuts[..], [Cut::Region { region, participants: 4 }] if region.as_str() == "middle"),
        "{cuts:?}"
    );
    // By force the edge goes, and its need with it.
    assert_eq!(
        registry.set_topology(two.topology().clone()),
        [edge("middle")]
    );
    assert_eq!(registry.participants(&room()), 3);
    assert_eq!(registry.cuts(two.topology()), []);
}
