//! Processes of the newest version of the mesh's protocols and of the one before in one mesh: a call with
//! sound, pictures and messages, and an upgrade of one process after the other while it goes on.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_tests::fleet::{Fleet, FleetOrder};
use sluice_tests::participant::{Participant, SOUND, Seen};
use sluice_types::signal::ServerEvent;

const LENGTH: usize = 900;

/// Edges whose nearest way from Paris to Tokyo is over Virginia, and another one.
const REGIONS: [&str; 5] = ["paris", "virginia", "tokyo", "mumbai", "singapore"];

async fn fleet(regions: &[&'static str], before: &[&'static str]) -> Fleet {
    let order = FleetOrder {
        regions: regions.to_vec(),
        coordinators: 1,
        protocol_max: before
            .iter()
            .map(|name| (*name, 1))
            .collect::<BTreeMap<_, _>>(),
        lossless: true,
        ..FleetOrder::default()
    };
    Fleet::start(&order).await
}

/// Somebody, and what came to them.
struct Person {
    id: String,
    seen: Seen,
    participant: Participant,
}

/// Whether it says that somebody of that name is there, and who that is.
fn found(event: &ServerEvent, name: &str) -> Option<String> {
    let views = match event {
        ServerEvent::Snapshot { participants, .. } => participants.as_slice(),
        ServerEvent::ParticipantJoined { participant } => std::slice::from_ref(participant),
        _ => &[],
    };
    let view = views.iter().find(|view| view.name == name)?;
    Some(view.participant_id.to_string())
}

/// Two who have found each other, in Paris and in Tokyo.
async fn call(fleet: &Fleet) -> [Person; 2] {
    let rest = &fleet.rest[0];
    let meeting = rest.meeting().await;
    let mut ada = Participant::enter(&rest.join(&meeting, "paris", "Ada").await).await;
    let mut bo = Participant::enter(&rest.join(&meeting, "tokyo", "Bo").await).await;
    let of_bo = ada.event(|event| found(event, "Bo").is_some()).await;
    let of_ada = bo.event(|event| found(event, "Ada").is_some()).await;
    let person = |mut participant: Participant, event: &ServerEvent, name: &str| Person {
        id: found(event, name).expect("waited for"),
        seen: participant.count(),
        participant,
    };
    [person(ada, &of_ada, "Ada"), person(bo, &of_bo, "Bo")]
}

/// Both get all of the other's sound and pictures, without a hole since they began.
async fn hear_each_other(seen: &[(&str, Seen)]) {
    let [(ada, seen_by_ada), (bo, seen_by_bo)] = seen else {
        unreachable!("two");
    };
    for (who, seen) in [(ada, seen_by_bo), (bo, seen_by_ada)] {
        seen.goes_on(who, LENGTH, 1, 100).await;
        seen.goes_on(who, SOUND, 4, 40).await;
    }
}

/// A call of two over a mesh in which these speak the version before.
async fn a_call_with(before: &[&'static str], agreed: &[(&str, &str, &str)]) {
    let fleet = fleet(&REGIONS[..3], before).await;
    let [ada, bo] = call(&fleet).await;
    let seen = [(ada.id.as_str(), ada.seen), (bo.id.as_str(), bo.seen)];
    let (mut ada, mut bo) = (ada.participant, bo.participant);
    let (ada_channel, bo_channel) = (ada.channel.take(), bo.channel.take());
    let (mut to_bo, mut to_ada) = (ada_channel.expect("one"), bo_channel.expect("one"));
    let watching = async {
        hear_each_other(&seen).await;
        for n in 0..5u8 {
            to_bo.send(&[n, 1]).await.expect("sent");
            assert_eq!(*to_ada.next().await.expect("it comes"), [n, 1]);
            to_ada.send(&[n, 2]).await.expect("sent");
            assert_eq!(*to_bo.next().await.expect("it comes"), [n, 2]);
        }
        hear_each_other(&seen).await;
    };
    tokio::select! {
        () = ada.keep_sending(LENGTH) => {}
        () = bo.keep_sending(LENGTH) => {}
        () = watching => {}
    }
    let state = fleet.rest[0]
        .until("the call's ways", |state| !state["rooms"][0].is_null())
        .await;
    let branches = state["rooms"][0]["trees"].to_string();
    assert!(branches.contains("virginia-1"), "over Virginia: {branches}");
    // What was agreed on is what is spoken.
    for (process, with, version) in agreed {
        says(&fleet, process, with, version);
    }
}

/// What a process logged of the version that it agreed on with another.
fn says(fleet: &Fleet, process: &str, with: &str, version: &str) {
    let log = fleet.log(process);
    let mut lines = log.lines().filter(|line| line.contains(with)).peekable();
    assert!(lines.peek().is_some(), "{process}, {with}: {log}");
    assert!(
        lines.all(|line| line.ends_with(version)),
        "{process}, {with}: {log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_the_version_before_is_a_parent_and_a_child_of_newer_ones() {
    a_call_with(
        &["virginia-1"],
        &[
            ("paris-1", "is up peer=virginia-1", "version=1"),
            ("tokyo-1", "is up peer=virginia-1", "version=1"),
            ("paris-1", "registered with", "version=2"),
            ("virginia-1", "registered with", "version=1"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_is_a_parent_and_a_child_of_those_of_the_version_before() {
    a_call_with(
        &["paris-1", "tokyo-1"],
        &[
            ("virginia-1", "is up peer=paris-1", "version=1"),
            ("virginia-1", "is up peer=tokyo-1", "version=1"),
            ("virginia-1", "registered with", "version=2"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_of_the_version_before_serves_newer_edges() {
    a_call_with(
        &["coordinator-0"],
        &[
            ("virginia-1", "registered with", "version=1"),
            ("virginia-1", "is up peer=paris-1", "version=2"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_is_upgraded_process_by_process_under_a_call_that_loses_nothing() {
    let all = [
        "coordinator-0",
        "paris-1",
        "virginia-1",
        "tokyo-1",
        "mumbai-1",
        "singapore-1",
    ];
    let mut fleet = fleet(&REGIONS, &all).await;
    let [ada, bo] = call(&fleet).await;
    let seen = [(ada.id.as_str(), ada.seen), (bo.id.as_str(), bo.seen)];
    let (mut ada, mut bo) = (ada.participant, bo.participant);
    let registered = |state: &Value| {
        let edges = state["edges"].as_array();
        edges.is_some_and(|edges| edges.len() == REGIONS.len())
            && state["rooms"][0]["participants"] == 2
    };
    let watching = async {
        hear_each_other(&seen).await;
        // Those with nobody in the call, and so that there is always another way.
        for process in ["coordinator-0", "virginia-1", "mumbai-1", "singapore-1"] {
            fleet.signal(process, "TERM");
            fleet.ended(process).await;
            hear_each_other(&seen).await;
            fleet.upgrade(process);
            fleet.rest[0]
                .until("everybody is there again", registered)
                .await;
            hear_each_other(&seen).await;
        }
        says(&fleet, "singapore-1", "is up peer=mumbai-1", "version=2");
        says(&fleet, "singapore-1", "registered with", "version=2");
    };
    tokio::select! {
        () = ada.keep_sending(LENGTH) => {}
        () = bo.keep_sending(LENGTH) => {}
        () = watching => {}
    }
}
