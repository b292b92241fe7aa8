//! Calls outlive the coordinator.

use serde_json::Value;
use sluice_tests::mesh::TestMesh;
use sluice_tests::participant::Participant;
use sluice_types::signal::ServerEvent;

const LENGTH: usize = 900;

fn epoch(state: &Value, meeting: &str) -> Option<u64> {
    let mut rooms = state["rooms"].as_array()?.iter();
    rooms.find(|room| room["room"] == meeting)?["epoch"].as_u64()
}

/// Forgets what came so far, and waits for more.
async fn still_receives(viewer: &mut Participant) {
    while viewer.packets.try_recv().is_ok() {}
    for _ in 0..50 {
        viewer.packet(LENGTH).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_without_the_coordinator_and_is_known_again_when_it_is_back() {
    let mut mesh = TestMesh::start().await;
    let meeting = mesh.rest.meeting().await;
    let mut ada = Participant::enter(&mesh.rest.join(&meeting, "west", "Ada").await).await;
    let mut bo = Participant::enter(&mesh.rest.join(&meeting, "east", "Bo").await).await;
    let invited = mesh.rest.join(&meeting, "east", "Cy").await;
    let planned = mesh
        .rest
        .until("the room is planned for both", |state| {
            state["rooms"][0]["participants"] == 2 && epoch(state, &meeting) > Some(0)
        })
        .await;
    let before = epoch(&planned, &meeting);
    let watching = async {
        bo.packet(LENGTH).await;
        mesh.stop_coordinator().await;
        still_receives(&mut bo).await;
        // Who has a token gets in, and finds who is there.
        let mut cy = Participant::enter(&invited).await;
        let snapshot = cy
            .event(|event| matches!(event, ServerEvent::Snapshot { .. }))
            .await;
        let ServerEvent::Snapshot { participants, .. } = snapshot else {
            unreachable!("waited for");
        };
        assert_eq!(participants.len(), 2, "{participants:?}");
        cy.packet(LENGTH).await;
        mesh.start_coordinator();
        mesh.rest
            .until(
                "everybody is known again, with a plan that is newer",
                |state| {
                    let room = &state["rooms"][0];
                    state["edges"]
                        .as_array()
                        .is_some_and(|edges| edges.len() == 3)
                        && room["participants"] == 3
                        && epoch(state, &meeting) > before
                },
            )
            .await;
        for viewer in [&mut bo, &mut cy] {
            still_receives(viewer).await;
        }
    };
    tokio::select! {
        () = ada.keep_sending(LENGTH) => {}
        () = watching => {}
    }
}
