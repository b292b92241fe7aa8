//! Three coordinators that share real etcd: any of them may die, be paused, or be cut off, and so may
//! etcd's leader. Edges go on by plans of which no two have one epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::ids::MeetingId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, Edge, PATIENCE, signal};

fn all(_: usize, endpoints: &[String]) -> Vec<String> {
    endpoints.to_vec()
}

/// Edges of west and middle with a meeting between them.
async fn call(cluster: &Cluster) -> (Edge, Edge, MeetingId) {
    let (west, middle) = (cluster.edge("west"), cluster.edge("middle"));
    let room = cluster.meeting(0).await;
    for edge in [&west, &middle] {
        edge.until("a line to each coordinator", |heard| {
            heard.lines.values().filter(|stands| **stands).count() == 3
        })
        .await;
        edge.demand(&room, 1);
    }
    west.planned(&room, 2).await;
    middle.planned(&room, 2).await;
    (west, middle, room)
}

/// What the coordinator says of a meeting.
async fn meeting(cluster: &Cluster, index: usize, room: &MeetingId) -> Value {
    let path = format!("/v1/meetings/{room}");
    let answer = cluster.ask(index, Method::GET, &path, &Value::Null).await;
    let (status, meeting) = answer.expect("an answer");
    assert_eq!(status, 200, "{meeting}");
    meeting
}

/// Waits until a coordinator has heard from the edges that so many take part. Each edge tells each
/// coordinator by itself, and whoever leads may have planned with it before others hear it.
async fn counts(cluster: &Cluster, index: usize, room: &MeetingId, people: usize) {
    let counting = async {
        while meeting(cluster, index, room).await["participants"] != people {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let counted = timeout(PATIENCE, counting).await;
    counted.unwrap_or_else(|_| panic!("coordinator {index} never counts {people}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_of_three_coordinators_may_be_killed() {
    let mut cluster = Cluster::start(1, all).await;
    let (west, middle, room) = call(&cluster).await;
    let mut roots = 2;
    for victim in 0..3 {
        let before = west.heard();
        let (leader, term) = cluster.leader(&[0, 1, 2]).await;
        cluster.kill(victim);
        // Somebody leaves or comes, which needs another plan.
        roots = 3 - roots;
        middle.demand(&room, roots as u32 - 1);
        let plan = west.planned(&room, roots).await;
        assert!(plan.epoch > before.follows[&room].epoch);
        let others: Vec<_> = (0..3).filter(|index| *index != victim).collect();
        let (now, later) = cluster.leader(&others).await;
        if leader == victim {
            assert!(later > term, "{later} after {term}");
        } else {
            assert_eq!((now, later), (leader, term), "the lead stays where it is");
        }
        // Any of those that are left knows the meeting, and takes people in.
        for &index in &others {
            counts(&cluster, index, &room, roots).await;
            let path = format!("/v1/meetings/{room}/join");
            let body = json!({ "name": "Ada" });
            let joined = cluster.ask(index, Method::POST, &path, &body).await;
            assert_eq!(joined.expect("an answer").0, 200);
        }
        cluster.start_one(victim);
        cluster.until_it_answers(victim).await;
        west.until("a line to the one that is back", |heard| {
            heard.lines[&victim]
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_was_paused_is_not_followed_when_it_goes_on() {
    let cluster = Cluster::start(1, all).await;
    let (west, middle, room) = call(&cluster).await;
    let (paused, term) = cluster.leader(&[0, 1, 2]).await;
    signal(cluster.process(paused), "STOP");
    let others: Vec<_> = (0..3).filter(|index| *index != paused).collect();
    let (_, later) = cluster.leader(&others).await;
    assert!(later > term);
    middle.demand(&room, 0);
    let alone = west.planned(&room, 1).await;
    signal(cluster.process(paused), "CONT");
    // It finds out that its lease is over, and follows.
    west.until("a line to the one that goes on", |heard| {
        heard.lines[&paused]
    })
    .await;
    middle.demand(&room, 1);
    let both = west.planned(&room, 2).await;
    assert!(both.epoch > alone.epoch);
    let heard = west.heard();
    assert_eq!(heard.highest, later, "nobody else took the lead");
    let (_, lines) = &heard.plans[&(room.clone(), both.epoch)];
    assert!(!lines.contains(&paused), "{lines:?}");
    counts(&cluster, paused, &room, 2).await;
    let path = "/v1/ops/state";
    let state = cluster.ask(paused, Method::GET, path, &Value::Null).await;
    assert_eq!(state.expect("an answer").1["leading"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcds_leader_may_be_killed() {
    let mut cluster = Cluster::start(3, all).await;
    let (west, middle, room) = call(&cluster).await;
    let before = west.heard().follows[&room].epoch;
    let leader = cluster.etcd.leader().await;
    cluster.etcd.kill(leader);
    middle.demand(&room, 0);
    let alone = west.planned(&room, 1).await;
    assert!(alone.epoch > before);
    middle.demand(&room, 1);
    let both = west.planned(&room, 2).await;
    assert!(both.epoch > alone.epoch);
    for index in 0..3 {
        counts(&cluster, index, &room, 2).await;
    }
    let another = cluster.meeting(1).await;
    assert_eq!(meeting(&cluster, 2, &another).await["status"], "idle");
}

/// Carries TCP to etcd until it is cut: then nothing passes, and nobody is told.
async fn cable(to: String, whole: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let to = to.replace("http://", "");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&to).await else {
                continue;
            };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let pump = |mut from: tokio::net::tcp::OwnedReadHalf,
                        mut to: tokio::net::tcp::OwnedWriteHalf| {
                let whole = whole.clone();
                async move {
                    let mut bytes = [0; 4_096];
                    while let Ok(read) = from.read(&mut bytes).await {
                        if !whole.load(Ordering::Relaxed) {
                            continue;
                        }
                        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                }
            };
            tokio::spawn(pump(near_in, far_out));
            tokio::spawn(pump(far_in, near_out));
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_from_etcd_plans_nothing_more() {
    let wholes: Vec<_> = (0..3).map(|_| Arc::new(AtomicBool::new(true))).collect();
    let cables = wholes.clone();
    // Each coordinator reaches etcd over a cable of its own.
    let cluster = Cluster::start(1, move |index, endpoints| {
        let laid = cable(endpoints[0].clone(), cables[index].clone());
        let laid = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(laid));
        vec![laid]
    })
    .await;
    let (west, middle, room) = call(&cluster).await;
    let (cut, term) = cluster.leader(&[0, 1, 2]).await;
    wholes[cut].store(false, Ordering::Relaxed);
    // Both hear of it: the one that was the leader still has its lines to the edges.
    middle.demand(&room, 0);
    let alone = west.planned(&room, 1).await;
    let others: Vec<_> = (0..3).filter(|index| *index != cut).collect();
    let (_, later) = cluster.leader(&others).await;
    assert!(later > term);
    west.until("the new leader's term", |heard| heard.highest == later)
        .await;
    let heard = west.heard();
    assert!(heard.lines[&cut], "it is there all the same");
    let (_, lines) = &heard.plans[&(room.clone(), alone.epoch)];
    assert!(!lines.contains(&cut), "{lines:?}");
    let last = heard
        .plans
        .values()
        .filter(|(_, lines)| lines.contains(&cut))
        .count();
    middle.demand(&room, 1);
    let both = west.planned(&room, 2).await;
    assert!(both.epoch > alone.epoch);
    wholes[cut].store(true, Ordering::Relaxed);
    middle.demand(&room, 0);
    west.planned(&room, 1).await;
    let heard = west.heard();
    let now = heard
        .plans
        .values()
        .filter(|(_, lines)| lines.contains(&cut))
        .count();
    assert_eq!(now, last, "it sent nothing since it was cut off");
    assert_eq!(heard.highest, later, "nobody else took the lead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_coordinator_is_asked_answers_for_all() {
    let cluster = Cluster::start(1, all).await;
    let (west, _middle, room) = call(&cluster).await;
    let (leader, _) = cluster.leader(&[0, 1, 2]).await;
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    // A plan is explained by those that did not make it too.
    let path = format!("/v1/meetings/{room}/explain");
    let explain = async |index| {
        let operator = cluster.operator(index, &path).await;
        let (status, explained) = operator.expect("an answer");
        assert_eq!(status, 200, "{explained}");
        explained
    };
    for index in [leader, one] {
        counts(&cluster, index, &room, 2).await;
    }
    cluster
        .until("the other has the plan", async || {
            let by_leader = cluster.operator(leader, &path).await;
            let by_other = cluster.operator(one, &path).await;
            let epoch =
                |answer: Option<(u16, Value)>| answer.map(|(_, plan)| plan["epoch"].as_u64());
            matches!((epoch(by_leader), epoch(by_other)), (Some(Some(a)), Some(Some(b))) if a == b)
        })
        .await;
    let (by_leader, by_other) = (explain(leader).await, explain(one).await);
    assert_eq!(by_leader["epoch"], by_other["epoch"]);
    assert_eq!(
        by_leader["trees"][0]["edges"][0]["path"],
        by_other["trees"][0]["edges"][0]["path"]
    );
    // Who waits at one is let in at another.
    let path = format!("/v1/meetings/{room}");
    let body = json!({ "settings": { "waiting_room": true } });
    let changed = cluster.ask(one, Method::PATCH, &path, &body).await;
    assert_eq!(changed.expect("an answer").0, 200);
    let join = format!("/v1/meetings/{room}/join");
    let body = json!({ "name": "Ada", "role": "speaker" });
    let asked = cluster.ask(one, Method::POST, &join, &body).await;
    let (status, waiting) = asked.expect("an answer");
    assert_eq!(status, 202, "{waiting}");
    let guest = waiting["participant_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let admit = format!("/v1/meetings/{room}/waiting/{guest}/admit");
    cluster
        .until("the other knows of the guest", async || {
            let admitted = cluster.ask(other, Method::POST, &admit, &Value::Null).await;
            admitted.is_some_and(|(status, _)| status == 204)
        })
        .await;
    let body = json!({ "name": "Ada", "role": "speaker", "participant_id": guest });
    cluster
        .until("the guest is let in", async || {
            let joined = cluster.ask(one, Method::POST, &join, &body).await;
            joined.is_some_and(|(status, _)| status == 200)
        })
        .await;
    // What one ends is over at all.
    let ended = cluster
        .ask(other, Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(ended.expect("an answer").0, 204);
    west.until("the end", |heard| heard.ended.contains(&room))
        .await;
    for index in 0..3 {
        assert_eq!(meeting(&cluster, index, &room).await["status"], "ended");
    }
}
