//! Calls go on while coordinators die and others take over: three of them in processes of their own, with
//! real etcd.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sluice_tests::fleet::{Fleet, FleetOrder};
use sluice_tests::participant::{Participant, SOUND, Seen};
use sluice_types::signal::ServerEvent;
use tokio::time::Instant;

use crate::etcd::Etcd;

const LENGTH: usize = 900;

/// How long a coordinator stands still.
const PAUSE: Duration = Duration::from_secs(30);

/// A call from Paris to Tokyo over Virginia, and three coordinators.
struct Scene {
    fleet: Fleet,
    meeting: String,
    /// The highest epoch that each edge was seen to follow.
    epochs: BTreeMap<String, u64>,
    etcd: Etcd,
}

impl Scene {
    /// The coordinator that says it leads, of these.
    async fn leader(&mut self, of: &[usize]) -> usize {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            for &index in of {
                let state = self.state(index).await;
                if state["leading"].is_u64() {
                    return index;
                }
            }
            assert!(Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a coordinator says of the mesh. No edge may follow an older plan than before.
    async fn state(&mut self, index: usize) -> Value {
        let (status, state) = self.fleet.rest[index]
            .call(Method::GET, "/v1/ops/state", &Value::Null)
            .await;
        assert_eq!(status, 200, "{state}");
        for edge in state["edges"].as_array().into_iter().flatten() {
            let name = edge["edge"].as_str().expect("a name").to_owned();
            for room in edge["rooms"].as_array().into_iter().flatten() {
                let epoch = room["epoch"].as_u64().expect("an epoch");
                // Reports of one edge come to different coordinators at different times.
                let key = format!("{name} at {index}");
                let before = self.epochs.insert(key.clone(), epoch).unwrap_or_default();
                assert!(epoch >= before, "{key}: {epoch} after {before}");
            }
        }
        state
    }

    /// The epoch that all edges with participants follow, once it is higher than `before` and the same.
    async fn epoch_after(&mut self, index: usize, before: u64) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let state = self.state(index).await;
            let edges = state["edges"].as_array().into_iter().flatten();
            let epochs: Vec<_> = edges
                .filter(|edge| edge["participants"].as_u64() > Some(0))
                .flat_map(|edge| edge["rooms"].as_array().into_iter().flatten())
                .map(|room| room["epoch"].as_u64().expect("an epoch"))
                .collect();
            let first = epochs.first().copied().unwrap_or_default();
            if first > before && epochs.len() > 1 && epochs.iter().all(|&epoch| epoch == first) {
                return first;
            }
            assert!(Instant::now() < deadline, "after {before}: {state:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn joins(&self, index: usize, region: &str, name: &str) -> Participant {
        let admitted = self.fleet.rest[index].join(&self.meeting, region, name);
        Participant::enter(&admitted.await).await
    }
}

fn joined(name: &'static str) -> impl Fn(&ServerEvent) -> bool {
    move |event| matches!(event, ServerEvent::ParticipantJoined { participant } if participant.name == name)
}

async fn whole(seen: &Seen, publisher: &str) {
    seen.goes_on(publisher, LENGTH, 1, 200).await;
    seen.goes_on(publisher, SOUND, 4, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_loses_nothing_when_the_leader_is_paused_and_the_next_one_killed_with_etcds() {
    let etcd = Etcd::start(3).await;
    let order = FleetOrder {
        regions: vec!["paris", "virginia", "tokyo"],
        coordinators: 3,
        etcd: etcd.endpoints.clone(),
        lossless: true,
        ..FleetOrder::default()
    };
    let fleet = Fleet::start(&order).await;
    let mut scene = Scene {
        meeting: fleet.rest[0].meeting().await,
        fleet,
        epochs: BTreeMap::new(),
        etcd,
    };
    let mut ada = scene.joins(0, "paris", "Ada").await;
    let mut bo = scene.joins(1, "tokyo", "Bo").await;
    let snapshot = bo
        .event(|event| {
            matches!(event, ServerEvent::Snapshot { participants, .. } if !participants.is_empty())
                || joined("Ada")(event)
        })
        .await;
    let publisher = match snapshot {
        ServerEvent::Snapshot { participants, .. } => participants[0].participant_id.clone(),
        ServerEvent::ParticipantJoined { participant } => participant.participant_id,
        _ => unreachable!("waited for"),
    };
    let publisher = publisher.to_string();
    let publisher = publisher.as_str();
    let seen = bo.count();
    let watching = async {
        whole(&seen, publisher).await;
        let leader = scene.leader(&[0, 1, 2]).await;
        let epoch = scene.epoch_after(leader, 0).await;

        scene.fleet.signal(&format!("coordinator-{leader}"), "STOP");
        let stopped = Instant::now();
        let others: Vec<_> = (0..3).filter(|&index| index != leader).collect();
        let second = scene.leader(&others).await;
        let mut cy = scene.joins(second, "virginia", "Cy").await;
        bo.event(joined("Cy")).await;
        let epoch = scene.epoch_after(second, epoch).await;
        let seen_by_cy = cy.count();
        whole(&seen_by_cy, publisher).await;
        while stopped.elapsed() < PAUSE {
            scene.state(second).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        scene.fleet.signal(&format!("coordinator-{leader}"), "CONT");
        scene.fleet.rest[leader]
            .until("it knows that it leads no more", |state| {
                state["leading"].is_null()
            })
            .await;
        whole(&seen, publisher).await;

        let member = scene.etcd.leader().await;
        scene.etcd.kill(member);
        scene.fleet.signal(&format!("coordinator-{second}"), "KILL");
        let others: Vec<_> = (0..3).filter(|&index| index != second).collect();
        let third = scene.leader(&others).await;
        let mut dan = scene.joins(third, "tokyo", "Dan").await;
        bo.event(joined("Dan")).await;
        cy.event(joined("Dan")).await;
        // Who comes to where somebody is already needs no other plan; who leaves Virginia alone does.
        drop(cy);
        scene.epoch_after(third, epoch).await;
        let seen_by_dan = dan.count();
        whole(&seen_by_dan, publisher).await;
        whole(&seen, publisher).await;
    };
    tokio::select! {
        () = ada.keep_sending(LENGTH) => {}
        () = watching => {}
    }
}
