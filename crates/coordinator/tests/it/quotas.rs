//! What tenants may have, and from where.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_coordinator::TenantSettings;
use sluice_coordinator::config::CoordinatorSettings;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestCoordinator, bearer, text, token};

fn acme(settings: &mut CoordinatorSettings, change: impl FnOnce(&mut TenantSettings)) {
    let mut tenant = TenantSettings {
        name: "acme".to_owned(),
        ..TenantSettings::default()
    };
    change(&mut tenant);
    settings.tenant = Some(vec![tenant]);
}

async fn usage(coordinator: &TestCoordinator) -> Value {
    let answer = coordinator.api(Method::GET, "/v1/usage", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// Waits until what is used is as wanted.
async fn until(coordinator: &TestCoordinator, wanted: impl Fn(&Value) -> bool) {
    let looking = async {
        while !wanted(&usage(coordinator).await) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("in time");
}

fn refused(answer: &crate::support::Answer) -> (u16, &str) {
    (answer.status, text(&answer.body["title"]))
}

#[tokio::test]
async fn a_tenant_has_so_many_participants_in_all_its_meetings_together() {
    let coordinator = TestCoordinator::start_with(|settings| {
        settings.participants_per_tenant = Some(1_000);
        acme(settings, |acme| acme.participants = Some(3));
    })
    .await;
    let mut west = coordinator.edge("west").await;
    let (first, second) = (
        coordinator.meeting(json!({})).await,
        coordinator.meeting(json!({})).await,
    );
    let guest = |meeting: &Value| json!({ "invite": invite(meeting) });
    for meeting in [&first, &second, &first] {
        let answer = coordinator.join(meeting, "", guest(meeting)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let fourth = coordinator.join(&second, "", guest(&second)).await;
    assert_eq!(refused(&fourth), (429, "quota participants"));
    assert_eq!(fourth.headers["retry-after"], "30");
    assert!(
        text(&fourth.body["detail"]).contains('3'),
        "{}",
        fourth.body
    );
    // They arrive, and one leaves.
    west.demand(&first["id"], 2).await;
    west.demand(&second["id"], 1).await;
    until(&coordinator, |usage| {
        usage["participants"] == json!({ "used": 3, "most": 3 })
    })
    .await;
    west.demand(&first["id"], 1).await;
    until(&coordinator, |usage| usage["participants"]["used"] == 2).await;
    let answer = coordinator.join(&second, "", guest(&second)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn invite(meeting: &Value) -> String {
    let url = text(&meeting["join_url"]);
    url.rsplit('/').next().expect("an invite").to_owned()
}

#[tokio::test]
async fn minutes_and_bitrate_are_counted_and_used_up() {
    let coordinator = TestCoordinator::start_with(|settings| {
        settings.minutes_per_tenant = Some(10);
        acme(settings, |acme| acme.bitrate_mbps = Some(20));
    })
    .await;
    let mut west = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let guest = json!({ "invite": invite(&meeting) });
    // Ten thousand who are in for a second have been in for 166 minutes.
    west.demand(&meeting["id"], 10_000).await;
    until(&coordinator, |usage| {
        usage["minutes"]["used"].as_u64() >= Some(20)
    })
    .await;
    let answer = coordinator.join(&meeting, "", guest.clone()).await;
    assert_eq!(refused(&answer), (429, "quota minutes"));
    let wait: u64 = answer.headers["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!(wait <= 31 * 86_400, "until the month ends, in {wait} s");
    let used = usage(&coordinator).await["minutes"]["used"].as_u64();
    // They are not forgotten when the coordinator starts again.
    drop(west);
    let coordinator = coordinator.restart().await;
    assert!(usage(&coordinator).await["minutes"]["used"].as_u64() >= used);

    let mut west = coordinator.edge("west").await;
    let mut middle = coordinator.edge("middle").await;
    // Each edge that publishes counts with what a publisher usually sends.
    let before = usage(&coordinator).await["bitrate_mbps"]["used"].as_u64();
    west.demand(&meeting["id"], 1).await;
    middle.demand(&meeting["id"], 1).await;
    until(&coordinator, |usage| {
        usage["bitrate_mbps"]["used"].as_u64() > before
    })
    .await;
}

#[tokio::test]
async fn what_is_published_has_a_quota_too() {
    let coordinator = TestCoordinator::start_with(|settings| {
        acme(settings, |acme| acme.bitrate_mbps = Some(2));
    })
    .await;
    let mut west = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let guest = json!({ "invite": invite(&meeting) });
    let answer = coordinator.join(&meeting, "", guest.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    west.demand(&meeting["id"], 1).await;
    until(&coordinator, |usage| {
        usage["bitrate_mbps"]["used"].as_u64() >= Some(2)
    })
    .await;
    let answer = coordinator.join(&meeting, "", guest).await;
    assert_eq!(refused(&answer), (429, "quota bitrate"));
}

#[tokio::test]
async fn keys_and_guests_come_from_where_their_tenant_wants_them() {
    let coordinator = TestCoordinator::start_with(|settings| {
        acme(settings, |acme| {
            acme.clients_deny = vec!["192.0.2.0/24".parse().expect("a prefix")];
        });
    })
    .await;
    let _west = coordinator.edge("west").await;
    let meeting = coordinator.meeting(json!({})).await;
    let guest = json!({ "invite": invite(&meeting) });
    let answer = coordinator
        .join(&meeting, "?as=192.0.2.7", guest.clone())
        .await;
    assert_eq!(refused(&answer), (403, "address refused"));
    let answer = coordinator.join(&meeting, "?as=192.0.3.7", guest).await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    let coordinator = TestCoordinator::start_with(|settings| {
        acme(settings, |acme| {
            acme.keys_allow = vec!["192.0.2.0/24".parse().expect("a prefix")];
        });
    })
    .await;
    let answer = coordinator
        .api(Method::GET, "/v1/meetings", Value::Null)
        .await;
    assert_eq!(refused(&answer), (403, "address refused"));
    let others = [bearer(&token("other"))];
    let answer = coordinator
        .send(Method::GET, "/v1/meetings", &others, None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_listener_refuses_those_it_is_not_for() {
    let coordinator = TestCoordinator::start_with(|settings| {
        settings.http_deny = Some(vec!["127.0.0.0/8".parse().expect("a prefix")]);
    })
    .await;
    let answer = coordinator.send(Method::GET, "/docs", &[], None).await;
    assert_eq!(refused(&answer), (403, "address refused"));
}
