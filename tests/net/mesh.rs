//! A meeting across regions: real edges, a real coordinator, real QUIC, clients of the `webrtc` crate.

use serde_json::Value;
use sluice_tests::mesh::TestMesh;
use sluice_tests::participant::Participant;
use sluice_types::room::{LeaveReason, PresenceChange};
use sluice_types::signal::{ClientMessage, ServerEvent};

/// An RTP payload that the smallest QUIC datagram does not hold with its headers.
const LARGE: usize = 1_180;

/// The relays of video that an edge receives.
fn video_relays<'a>(state: &'a Value, edge: &str) -> Vec<&'a Value> {
    state["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|reported| reported["edge"] == edge)
        .flat_map(|reported| reported["rooms"].as_array().into_iter().flatten())
        .flat_map(|room| room["relays"].as_array().into_iter().flatten())
        .filter(|relay| relay["kind"] == "video")
        .collect()
}

fn names(event: &ServerEvent) -> Vec<String> {
    match event {
        ServerEvent::Snapshot { participants, .. } => {
            participants.iter().map(|view| view.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_copy_of_a_track_crosses_each_link_for_five_viewers() {
    let mesh = TestMesh::start().await;
    let meeting = mesh.rest.meeting().await;
    let admitted = mesh.rest.join(&meeting, "west", "Ada").await;
    assert_eq!(admitted.region, "west");
    let mut publisher = Participant::enter(&admitted).await;
    let mut viewers = Vec::new();
    for n in 0..5 {
        let admitted = mesh
            .rest
            .join(&meeting, "east", &format!("Viewer {n}"))
            .await;
        assert_eq!(admitted.region, "east");
        viewers.push(Participant::enter(&admitted).await);
    }
    let watching = async {
        for viewer in &mut viewers {
            for _ in 0..20 {
                viewer.packet(LARGE).await;
            }
        }
        let state = mesh
            .rest
            .until("packets were counted on the way", |state| {
                let counted = |edge| {
                    video_relays(state, edge)
                        .iter()
                        .any(|relay| relay["packets"].as_u64() >= Some(100))
                };
                counted("middle-1") && counted("east-1")
            })
            .await;
        for (edge, from) in [("middle-1", "west-1"), ("east-1", "middle-1")] {
            let relays: Vec<_> = video_relays(&state, edge)
                .into_iter()
                .filter(|relay| relay["root"] == "west-1")
                .collect();
            assert_eq!(relays.len(), 1, "{edge} receives one relay: {relays:#?}");
            assert_eq!(relays[0]["from"], from);
        }
    };
    tokio::select! {
        () = publisher.keep_sending(LARGE) => {}
        () = watching => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_the_same_from_everywhere() {
    let mesh = TestMesh::start().await;
    let meeting = mesh.rest.meeting().await;
    let mut ada = Participant::enter(&mesh.rest.join(&meeting, "west", "Ada").await).await;
    let mut bo = Participant::enter(&mesh.rest.join(&meeting, "east", "Bo").await).await;
    let joined = |name: &'static str| move |event: &ServerEvent| matches!(event, ServerEvent::ParticipantJoined { participant } if participant.name == name);
    ada.event(joined("Bo")).await;
    let snapshot = bo
        .event(|event| matches!(event, ServerEvent::Snapshot { .. }))
        .await;
    if names(&snapshot).is_empty() {
        // The plan came after the snapshot; then the roster tells.
        bo.event(joined("Ada")).await;
    }
    let mut cy = Participant::enter(&mesh.rest.join(&meeting, "east", "Cy").await).await;
    let snapshot = cy
        .event(|event| matches!(event, ServerEvent::Snapshot { .. }))
        .await;
    let mut there = names(&snapshot);
    there.sort();
    assert_eq!(there, ["Ada", "Bo"]);

    let change = PresenceChange {
        hand_raised: Some(true),
        ..PresenceChange::default()
    };
    bo.say
        .send(ClientMessage::Presence(change))
        .await
        .expect("said");
    for other in [&mut ada, &mut cy] {
        other
            .event(|event| matches!(event, ServerEvent::PresenceChanged { presence, .. } if presence.hand_raised))
            .await;
    }
    bo.say.send(ClientMessage::Leave {}).await.expect("said");
    for other in [&mut ada, &mut cy] {
        other
            .event(|event| {
                matches!(
                    event,
                    ServerEvent::ParticipantLeft {
                        reason: LeaveReason::Left,
                        ..
                    }
                )
            })
            .await;
    }
    let path = format!("/v1/meetings/{meeting}");
    let (status, _) = mesh
        .rest
        .call(reqwest::Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(status, 204);
    for one in [&mut ada, &mut cy] {
        one.event(|event| {
            matches!(
                event,
                ServerEvent::Ended {
                    reason: LeaveReason::MeetingEnded
                }
            )
        })
        .await;
    }
    let join = format!("{path}/join");
    let (status, problem) = mesh
        .rest
        .call(reqwest::Method::POST, &join, &serde_json::json!({}))
        .await;
    assert_eq!(
        (status, problem["title"].as_str()),
        (410, Some("meeting ended"))
    );
}
