//! A meeting's maximum, where several coordinators that share real etcd let people in at the same time.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::ids::MeetingId;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, PATIENCE};

const MAX: u32 = 10;

/// More than the meeting has places, at each coordinator.
const CROWD: usize = 2 * MAX as usize;

async fn meeting(cluster: &Cluster) -> MeetingId {
    let body = json!({ "title": "Small", "settings": { "max_participants": MAX } });
    let made = cluster.ask(0, Method::POST, "/v1/meetings", &body).await;
    let (status, meeting) = made.expect("an answer");
    assert_eq!(status, 201, "{meeting}");
    let id = meeting["id"].as_str().expect("an id");
    id.parse().expect("an id")
}

/// Somebody wants to come in; whether a coordinator lets it.
async fn joins(cluster: &Cluster, index: usize, room: &MeetingId) -> bool {
    let path = format!("/v1/meetings/{room}/join");
    let body = json!({ "name": "Ada" });
    let answer = cluster.ask(index, Method::POST, &path, &body).await;
    let (status, answer) = answer.expect("an answer");
    match status {
        200 => true,
        409 => {
            let kind = answer["type"].as_str().expect("a problem");
            assert!(kind.ends_with("meeting-full"), "{answer}");
            false
        }
        _ => panic!("{status}: {answer}"),
    }
}

/// A crowd comes to two coordinators at once; how many are let in.
async fn rush(cluster: &Cluster, room: &MeetingId) -> u32 {
    let everybody = (0..2 * CROWD).map(|n| joins(cluster, n % 2, room));
    let let_in = join_all(everybody).await;
    let_in.into_iter().filter(|inside| *inside).count() as u32
}

/// People come until so many have been let in, and none more for as long as others could have
/// places to give back.
async fn fills(cluster: &Cluster, room: &MeetingId, places: u32) {
    let mut inside = rush(cluster, room).await;
    let until = Instant::now() + PATIENCE;
    while inside < places {
        assert!(Instant::now() < until, "{inside} of {places} came in");
        inside += rush(cluster, room).await;
    }
    assert_eq!(inside, places);
    assert_eq!(rush(cluster, room).await, 0, "one too many");
}

/// Waits until every coordinator counts so many.
async fn counted(cluster: &Cluster, room: &MeetingId, people: u32) {
    let path = format!("/v1/meetings/{room}");
    for index in 0..3 {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = cluster.ask(index, Method::GET, &path, &Value::Null).await;
            let (_, meeting) = answer.expect("an answer");
            if meeting["participants"] == people {
                break;
            }
            assert!(Instant::now() < until, "{index} counts {meeting}");
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_let_no_more_in_than_the_meeting_has_places() {
    let cluster = Cluster::start(1, |_, endpoints| endpoints.to_vec()).await;
    let (west, middle) = (cluster.edge("west"), cluster.edge("middle"));
    for edge in [&west, &middle] {
        edge.until("a line to each coordinator", |heard| {
            heard.lines.values().filter(|stands| **stands).count() == 3
        })
        .await;
    }
    let room = meeting(&cluster).await;
    fills(&cluster, &room, MAX).await;

    // They arrive: each place is taken still, and by now by somebody whom everybody counts.
    west.demand(&room, MAX);
    counted(&cluster, &room, MAX).await;
    assert_eq!(rush(&cluster, &room).await, 0, "everybody is there");

    // Three leave; as many may come.
    west.demand(&room, MAX - 3);
    counted(&cluster, &room, MAX - 3).await;
    fills(&cluster, &room, 3).await;
    middle.demand(&room, 3);
    counted(&cluster, &room, MAX).await;

    // An edge dies with everybody who was there.
    drop(west);
    counted(&cluster, &room, 3).await;
    fills(&cluster, &room, MAX - 3).await;
}
