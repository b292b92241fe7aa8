//! What viewers go through when something fails on the way to them, on the repository's mesh: its links'
//! round trips, an edge in a process each, real QUIC and real media.

use std::time::Duration;

use serde_json::Value;
use sluice_bench::faults::{Call, Endured, in_the_middle};
use sluice_bench::load::Api;
use sluice_tests::client::PATIENCE;
use sluice_tests::fleet::{Fleet, FleetOrder, edge_of};
use sluice_tests::rest::Rest;
use sluice_types::ids::EdgeId;

/// The longest gap that is promised: 300 ms beside half a second until the fault is noticed.
const GAP: Duration = Duration::from_millis(300 + 500);

/// A machine that stalls makes gaps longer, never shorter: one try of so many has to hold the promise. Those
/// in which it plainly stood still do not count, but there are no more of them than of the others.
const TRIES: usize = 3;

/// How many packets of pictures are looked at: four seconds of them.
const SEEN: u64 = 240;

const HOME: &str = "paris";
const VIEWERS: [&str; 2] = ["sydney", "tokyo"];

fn order() -> FleetOrder {
    FleetOrder {
        // What they lose by themselves is another matter.
        lossless: true,
        regions: vec![
            HOME,
            "sydney",
            "tokyo",
            "frankfurt",
            "mumbai",
            "singapore",
            "virginia",
        ],
        coordinators: 1,
        ..FleetOrder::default()
    }
}

/// A call over an edge in the middle, whose viewers have their backups at hand.
struct Watched {
    fleet: Fleet,
    call: Call,
    middle: EdgeId,
    behind: EdgeId,
}

fn participants(state: &Value) -> u64 {
    let edges = state["edges"].as_array().into_iter().flatten();
    edges.filter_map(|edge| edge["participants"].as_u64()).sum()
}

/// Whether each edge in the trees is connected to its parent and its backup.
fn is_connected(state: &Value) -> bool {
    let list = |value: &'static str| move |of: &Value| of[value].as_array().cloned();
    let branches = list("rooms")(state)
        .into_iter()
        .flatten()
        .filter_map(|room| list("trees")(&room))
        .flatten()
        .filter_map(|tree| list("branches")(&tree))
        .flatten();
    let edges = list("edges")(state).unwrap_or_default();
    let has_link = |edge: &Value, to: &Value| {
        let found = edges.iter().find(|one| one["edge"] == *edge);
        let links = found.and_then(|edge| edge["links"].as_array());
        links.is_some_and(|links| links.iter().any(|link| link["peer"] == *to))
    };
    let mut branches = branches.peekable();
    branches.peek().is_some()
        && branches.all(|branch| {
            let (edge, parent, backup) = (&branch["edge"], &branch["parent"], &branch["backup"]);
            has_link(edge, parent) && (backup.is_null() || has_link(edge, backup))
        })
}

impl Watched {
    async fn start(with_backup: bool) -> Self {
        let fleet = Fleet::start(&order()).await;
        let api = Api::new(&fleet.rest[0].url, &Rest::key()).expect("an API");
        let viewers = VIEWERS.map(str::to_owned);
        let call = Call::start(&api, HOME, &viewers).await.expect("a call");
        let home = edge_of(HOME);
        let found = |state: &Value| in_the_middle(state, &home, with_backup);
        let state = fleet.rest[0]
            .until("an edge in the middle, and backups", |state| {
                // Until edges have told of everybody, any may look empty.
                participants(state) == 1 + VIEWERS.len() as u64
                    && found(state).is_some()
                    && is_connected(state)
            })
            .await;
        let (middle, behind) = found(&state).expect("waited for");
        call.begin();
        let watched = Self {
            fleet,
            call,
            middle,
            behind,
        };
        watched.until_seen(60).await;
        watched.call.begin();
        watched
    }

    /// Waits, but not for ever, until each viewer had so many good packets of pictures, and gives what they
    /// went through.
    async fn until_seen(&self, pictures: u64) -> Vec<Endured> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let endured = self.call.endured().await.expect("clients run");
            let seen = endured.iter().all(|one| one.pictures >= pictures);
            if seen || tokio::time::Instant::now() >= deadline {
                return endured;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Has something fail under a call until nobody misses more than is promised.
async fn endured_within(fault: impl Fn(&Watched)) {
    let (mut tries, mut stalled) = (Vec::new(), 0);
    while tries.len() < TRIES && stalled <= TRIES {
        let watched = Watched::start(true).await;
        fault(&watched);
        let endured = watched.until_seen(SEEN).await;
        assert!(
            endured.iter().any(|one| one.lost > 0),
            "nothing failed: {endured:#?}"
        );
        let is_short = |one: &Endured| {
            one.pictures >= SEEN && one.sound_hole <= GAP && one.picture_hole <= GAP
        };
        if endured.iter().all(is_short) {
            return;
        }
        if machine_stalled(&endured) {
            stalled += 1;
        } else {
            tries.push(endured);
        }
    }
    panic!(
        "more than {GAP:?} is missing each time; {stalled} times the machine stood still: {tries:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_in_the_middle_may_be_killed() {
    endured_within(|on| on.fleet.signal(on.middle.as_str(), "KILL")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_in_the_middle_may_be_paused() {
    endured_within(|on| on.fleet.signal(on.middle.as_str(), "STOP")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_may_be_cut() {
    endured_within(|on| on.fleet.wan.cut(&on.middle, &on.behind)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_and_the_coordinator_may_be_killed_at_once() {
    endured_within(|on| {
        on.fleet.signal("coordinator-0", "KILL");
        on.fleet.signal(on.middle.as_str(), "KILL");
    })
    .await;
}

/// Nobody receives through an edge any more, as far as the coordinator planned.
fn is_out(state: &Value, edge: &EdgeId) -> bool {
    let rooms = state["rooms"].as_array().into_iter().flatten();
    let mut trees = rooms
        .flat_map(|room| room["trees"].as_array())
        .flatten()
        .filter_map(|tree| tree["branches"].as_array())
        .flatten();
    !trees.any(|branch| branch["edge"] == edge.as_str())
}

/// What viewers go through while an edge in the middle ends, drained before or not.
async fn ends(drained: bool) -> Vec<Endured> {
    let mut watched = Watched::start(false).await;
    let middle = watched.middle.to_string();
    let rest = watched.fleet.rest[0].clone();
    if drained {
        let path = format!("/v1/ops/edges/{middle}/drain");
        let (status, _) = rest.call(reqwest::Method::POST, &path, &Value::Null).await;
        assert_eq!(status, 202);
        let out = |state: &Value| is_out(state, &watched.middle);
        rest.until("it is in no plan", out).await;
    }
    // As soon as it is said to be empty, or without a word before.
    watched.fleet.signal(&middle, "TERM");
    watched.fleet.ended(&middle).await;
    let so_far = watched.call.endured().await.expect("clients run");
    let pictures = so_far.iter().map(|one| one.pictures).max();
    watched.until_seen(pictures.unwrap_or_default() + 120).await
}

/// A viewer got all at once what it should have got over a while. After that an edge takes a viewer's
/// network for a slow one, and leaves out what does not fit.
fn machine_stalled(endured: &[Endured]) -> bool {
    let much = Duration::from_millis(200);
    let stalled = |one: &Endured| one.sound_gap >= one.sound_hole + much;
    endured.iter().any(stalled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_edge_and_one_that_is_told_to_end_lose_no_packet() {
    for drained in [true, false] {
        let mut endured = ends(drained).await;
        for _ in 1..TRIES {
            if !machine_stalled(&endured) {
                break;
            }
            endured = ends(drained).await;
        }
        let lost: Vec<_> = endured.iter().map(|one| one.lost).collect();
        assert_eq!(lost, [0, 0], "drained: {drained}; {endured:#?}");
    }
}
