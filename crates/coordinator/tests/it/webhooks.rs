//! Webhooks, against a real HTTP receiver on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use sluice_types::room::LeaveReason;

use crate::support::{PATIENCE, TestCoordinator, attendee, joined, left, text};

const SECRET: &str = "hooksecret-hooksecret-hooksecret-1";

/// A receiver, which answers with these statuses first, and then with 204.
struct Receiver {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<(StatusCode, Value)>,
}

#[derive(Clone)]
struct Desk {
    statuses: Arc<Mutex<Vec<u16>>>,
    calls: mpsc::UnboundedSender<(StatusCode, Value)>,
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    let signature = header("x-sluice-signature");
    let (time, tag) = signature.split_once(",v1=").expect("two parts");
    let time = time.strip_prefix("t=").expect("a time");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let right = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let right: String = right.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(tag, right, "signed with the hook's secret");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(header("x-sluice-event"), text(&body["id"]));
    let status = {
        let mut statuses = desk.statuses.lock().expect("no panic");
        if statuses.is_empty() {
            204
        } else {
            statuses.remove(0)
        }
    };
    let status = StatusCode::from_u16(status).expect("a status");
    let _ = desk.calls.send((status, body));
    status
}

impl Receiver {
    async fn start(statuses: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (sender, calls) = mpsc::unbounded_channel();
        let desk = Desk {
            statuses: Arc::new(Mutex::new(statuses.to_vec())),
            calls: sender,
        };
        let app = Router::new().route("/hook", post(receive)).with_state(desk);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, calls }
    }

    /// The tables of the file that lead here.
    fn hook(&self, more: &str) -> String {
        let address = self.address;
        format!("[[webhook]]\nurl = \"http://{address}/hook\"\nsecret = \"{SECRET}\"\n{more}\n")
    }

    async fn next(&mut self) -> (u16, Value) {
        let call = timeout(PATIENCE, self.calls.recv()).await;
        let (status, body) = call.expect("in time").expect("open");
        (status.as_u16(), body)
    }

    /// The next event that is taken, by its kind.
    async fn taken(&mut self) -> (String, Value) {
        loop {
            let (status, body) = self.next().await;
            if status == 204 {
                return (text(&body["type"]).to_owned(), body);
            }
        }
    }
}

async fn coordinator(hooks: &str) -> (TestCoordinator, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("webhooks.toml");
    std::fs::write(&path, hooks).expect("written");
    let started = TestCoordinator::start_with(|settings| settings.webhooks = Some(path)).await;
    (started, dir)
}

#[tokio::test]
async fn a_meetings_events_come_in_their_order_from_its_creation_to_its_end() {
    let mut receiver = Receiver::start(&[]).await;
    let (coordinator, _dir) = coordinator(&receiver.hook("")).await;
    let mut edge = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({ "waiting_room": true })).await;
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    let title = json!({ "title": "Other" });
    coordinator.api(Method::PATCH, &path, title).await;
    let invite = text(&meeting["join_url"])
        .rsplit('/')
        .next()
        .expect("an invite");
    let guest = json!({ "invite": invite, "name": "Ada" });
    let waiting = coordinator.join(&meeting, "", guest.clone()).await;
    let participant = waiting.body["participant_id"].clone();
    let mut known = guest;
    known["participant_id"] = participant.clone();
    // Asking again is no news.
    coordinator.join(&meeting, "", known.clone()).await;
    let admit = format!("{path}/waiting/{}/admit", text(&participant));
    coordinator.api(Method::POST, &admit, Value::Null).await;
    coordinator.join(&meeting, "", known).await;
    for participants in [1, 2, 0] {
        edge.demand(&meeting["id"], participants).await;
    }
    let expected = [
        (
            "meeting.created",
            json!({ "title": "Plan", "scheduled_at": null }),
        ),
        (
            "meeting.changed",
            json!({ "title": "Other", "scheduled_at": null }),
        ),
        (
            "participant.waiting",
            json!({ "participant_id": participant }),
        ),
        (
            "participant.let_in",
            json!({ "participant_id": participant }),
        ),
        (
            "participant.admitted",
            json!({ "participant_id": participant, "role": "speaker", "edge": "west-1", "region": "west" }),
        ),
        ("meeting.started", json!({ "participants": 1 })),
        ("meeting.participants", json!({ "participants": 2 })),
        ("meeting.emptied", json!({ "participants": 0 })),
    ];
    for (kind, data) in expected {
        let (came, body) = receiver.taken().await;
        assert_eq!((came.as_str(), &body["data"]), (kind, &data));
        assert_eq!(body["meeting_id"], meeting["id"]);
        assert_eq!(body["tenant"], "acme");
        assert!(text(&body["at"]).ends_with('Z'));
    }
    coordinator.api(Method::DELETE, &path, Value::Null).await;
    assert_eq!(receiver.taken().await.0, "meeting.ended");
}

#[tokio::test]
async fn whoever_comes_and_goes_is_told_of_by_name() {
    let mut receiver = Receiver::start(&[]).await;
    let kinds = "events = [\"participant.joined\", \"participant.left\"]";
    let (coordinator, _dir) = coordinator(&receiver.hook(kinds)).await;
    let meeting = coordinator.meeting(json!({})).await;
    let mut west = coordinator.edge("west").await;
    let mut east = coordinator.edge("east").await;
    let ada = attendee(1, "Ada", 1_700_000_000_000);
    let bo = attendee(2, "Bo", 1_700_000_001_000);
    let came = [joined(&ada), joined(&bo), left(&bo, LeaveReason::Removed)];
    west.attendance(&meeting["id"], false, &came).await;
    let (kind, body) = receiver.taken().await;
    assert_eq!(kind, "participant.joined");
    assert_eq!(body["meeting_id"], meeting["id"]);
    assert_eq!(
        body["data"],
        json!({
            "participant_id": ada.participant, "name": "Ada", "role": "speaker",
            "edge": "west-1", "region": "west", "joined_at": "2023-11-14T22:13:20Z",
        })
    );
    assert_eq!(receiver.taken().await.1["data"]["name"], "Bo");
    let (kind, body) = receiver.taken().await;
    assert_eq!(kind, "participant.left");
    assert_eq!(
        body["data"],
        json!({
            "participant_id": bo.participant, "reason": "removed",
            "edge": "west-1", "region": "west", "left_at": "2023-11-14T22:13:25Z",
        })
    );
    // A line that was lost, and a move to another edge, are no news.
    west.attendance(&meeting["id"], true, &[joined(&ada)]).await;
    west.beat().await;
    let moved = attendee(1, "Ada", 1_700_000_009_000);
    coordinator
        .until_quality(&meeting, "the first stay", |quality| {
            quality["participants"][0]["stays"][0]["edge"] == "west-1"
        })
        .await;
    east.attendance(&meeting["id"], false, &[joined(&moved)])
        .await;
    coordinator
        .until_quality(&meeting, "two stays", |quality| {
            quality["participants"][0]["stays"][1]["edge"] == "east-1"
        })
        .await;
    let replaced = [left(&ada, LeaveReason::Replaced)];
    west.attendance(&meeting["id"], false, &replaced).await;
    let gone = [left(&ada, LeaveReason::Left)];
    east.attendance(&meeting["id"], false, &gone).await;
    let (kind, body) = receiver.taken().await;
    assert_eq!(kind, "participant.left");
    assert_eq!(body["data"]["edge"], "east-1");
    assert_eq!(body["data"]["reason"], "left");
}

#[tokio::test]
async fn an_event_is_tried_again_and_those_behind_it_wait() {
    let mut receiver = Receiver::start(&[500, 429]).await;
    let (coordinator, _dir) = coordinator(&receiver.hook("")).await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    coordinator.api(Method::DELETE, &path, Value::Null).await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        let (status, body) = receiver.next().await;
        calls.push((status, text(&body["type"]).to_owned(), body["id"].clone()));
    }
    let seen: Vec<_> = calls
        .iter()
        .map(|(status, kind, _)| (*status, kind.as_str()))
        .collect();
    let created = "meeting.created";
    assert_eq!(
        seen,
        [
            (500, created),
            (429, created),
            (204, created),
            (204, "meeting.ended")
        ]
    );
    assert_eq!(calls[0].2, calls[2].2, "known again by its id");
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again_and_holds_nobody_up() {
    let mut receiver = Receiver::start(&[400]).await;
    let (coordinator, _dir) = coordinator(&receiver.hook("")).await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    coordinator.api(Method::DELETE, &path, Value::Null).await;
    assert_eq!(receiver.next().await.0, 400);
    let (status, body) = receiver.next().await;
    assert_eq!((status, text(&body["type"])), (204, "meeting.ended"));
}

#[tokio::test]
async fn receivers_hear_of_their_tenants_meetings_and_their_kinds_alone() {
    let mut others = Receiver::start(&[]).await;
    let mut ends = Receiver::start(&[]).await;
    // Nobody is there: the others are not held up.
    let nobody = "[[webhook]]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"nobody-nobody-nobody-nobody-nobody\"\n";
    let hooks = format!(
        "{nobody}{}{}",
        others.hook("tenant = \"other\""),
        ends.hook("tenant = \"acme\"\nevents = [\"meeting.ended\"]")
    );
    let (coordinator, _dir) = coordinator(&hooks).await;
    let meeting = coordinator.meeting(json!({})).await;
    let path = format!("/v1/meetings/{}", text(&meeting["id"]));
    coordinator.api(Method::DELETE, &path, Value::Null).await;
    assert_eq!(ends.taken().await.0, "meeting.ended");
    assert!(others.calls.try_recv().is_err(), "of another tenant");
}
