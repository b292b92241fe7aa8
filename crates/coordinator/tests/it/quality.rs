//! How calls went: from what edges tell, over a restart, to what support staff reads.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_types::ids::ParticipantId;
use sluice_types::mesh::control::EdgeMessage;
use sluice_types::quality::{
    Attendee, Direction, JoinTimes, QualityReport, QualitySample, Reporter, TrackQuality,
};
use sluice_types::room::{LeaveReason, MediaKind};

use crate::support::{
    FakeEdge, TestCoordinator, attendee, bearer, joined, json_type, left, sign, text, token,
};

fn track(speaker: &ParticipantId, loss_ppm: u32) -> TrackQuality {
    TrackQuality {
        participant_id: Some(speaker.clone()),
        bitrate_bps: 32_000,
        loss_ppm: Some(loss_ppm),
        // A client that praises itself is not believed.
        mos_centi: Some(450),
        ..TrackQuality::new(Direction::In, MediaKind::Audio)
    }
}

async fn measure(
    edge: &mut FakeEdge,
    meeting: &Value,
    whose: &Attendee,
    at_ms: u64,
    report: QualityReport,
) {
    edge.say(EdgeMessage::Quality(QualitySample {
        room: text(&meeting["id"]).parse().expect("a meeting"),
        participant: whose.participant.clone(),
        at_ms,
        by: Reporter::Client,
        report,
    }))
    .await;
}

fn report(round_trip_ms: u32, tracks: Vec<TrackQuality>) -> QualityReport {
    QualityReport {
        interval_ms: 10_000,
        round_trip_ms: Some(round_trip_ms),
        join: Some(JoinTimes {
            admitted_ms: Some(10),
            ..JoinTimes::default()
        }),
        tracks,
        ..QualityReport::default()
    }
}

#[tokio::test]
async fn a_record_outlasts_the_coordinator_and_scores_the_whole_way() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let mut west = coordinator.edge("west").await;
    let (ada, bo) = (attendee(1, "Ada", 5), attendee(2, "Bo", 6));
    let here = [joined(&ada), joined(&bo)];
    west.attendance(&meeting["id"], false, &here).await;
    measure(&mut west, &meeting, &ada, 10, report(20, Vec::new())).await;
    let clean = track(&ada.participant, 0);
    let lossy = track(&ada.participant, 200_000);
    measure(
        &mut west,
        &meeting,
        &bo,
        11,
        report(20, vec![clean.clone()]),
    )
    .await;
    measure(&mut west, &meeting, &bo, 12, report(20, vec![lossy])).await;
    measure(&mut west, &meeting, &bo, 13, report(800, vec![clean])).await;
    let told = coordinator
        .until_quality(&meeting, "four reports", |quality| {
            quality["participants"][1]["reports"]
                .as_array()
                .is_some_and(|reports| reports.len() == 3)
        })
        .await;
    let scores: Vec<_> = (0..3)
        .map(|n| told["participants"][1]["reports"][n]["report"]["tracks"][0]["mos_centi"].as_u64())
        .map(|score| score.expect("scored"))
        .collect();
    assert!(scores[0] > 430, "{scores:?}");
    assert!(scores[1] < 300, "loss is heard: {scores:?}");
    assert!(scores[2] < 410, "delay is heard: {scores:?}");
    assert_eq!(
        told["participants"][0]["reports"][0]["report"]["join"]["admitted_ms"],
        10
    );
    drop(west);
    let coordinator = coordinator.restart().await;
    let kept = coordinator.until_quality(&meeting, "kept", |_| true).await;
    assert_eq!(kept, told);
    // The edge is back with everybody but Bo, who left meanwhile.
    let mut west = coordinator.edge("west").await;
    west.attendance(&meeting["id"], true, &[joined(&ada)]).await;
    measure(&mut west, &meeting, &ada, 14, report(20, Vec::new())).await;
    let on = coordinator
        .until_quality(&meeting, "it goes on", |quality| {
            quality["participants"][0]["reports"][1]["at_ms"] == 14
        })
        .await;
    assert_eq!(
        on["participants"][0]["stays"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn an_edge_is_believed_about_its_own_alone() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let mut west = coordinator.edge("west").await;
    let mut east = coordinator.edge("east").await;
    let (ada, bo) = (attendee(1, "Ada", 5), attendee(2, "Bo", 6));
    west.attendance(&meeting["id"], false, &[joined(&ada)])
        .await;
    east.attendance(&meeting["id"], false, &[joined(&bo)]).await;
    coordinator
        .until_quality(&meeting, "both", |quality| {
            quality["participants"][1].is_object()
        })
        .await;
    measure(&mut east, &meeting, &ada, 10, report(1, Vec::new())).await;
    measure(&mut east, &meeting, &bo, 11, report(2, Vec::new())).await;
    // The last figures come after the word.
    let gone = [left(&bo, LeaveReason::Left)];
    east.attendance(&meeting["id"], false, &gone).await;
    measure(&mut east, &meeting, &bo, 12, report(3, Vec::new())).await;
    let told = coordinator
        .until_quality(&meeting, "the last figures", |quality| {
            let people = quality["participants"].as_array();
            let bo = people.and_then(|people| people.iter().find(|who| who["name"] == "Bo"));
            bo.is_some_and(|bo| bo["reports"][1]["at_ms"] == 12)
        })
        .await;
    let people = told["participants"].as_array().expect("people");
    let ada = people.iter().find(|who| who["name"] == "Ada").expect("Ada");
    assert_eq!(ada["reports"], json!([]));
}

#[tokio::test]
async fn only_those_whom_it_concerns_read_it() {
    let coordinator = TestCoordinator::start().await;
    let meeting = coordinator.meeting(json!({})).await;
    let id = text(&meeting["id"]).to_owned();
    let path = format!("/v1/meetings/{id}/quality");
    let user = |role: &str, meeting: &str| {
        sign(&json!({
            "iss": "acme", "exp": 4_000_000_000_u64,
            "grants": { "meeting": meeting, "role": role },
        }))
    };
    for (token, status) in [
        (Some(token("acme")), 200),
        (Some(token("watch")), 200),
        (Some(token("other")), 404),
        (Some(user("host", &id)), 200),
        (Some(user("speaker", &id)), 403),
        (Some(user("host", "mtg_zzzzzzzzzzzz")), 403),
        (None, 401),
    ] {
        let mut headers = vec![json_type()];
        headers.extend(token.as_deref().map(bearer));
        let answer = coordinator.send(Method::GET, &path, &headers, None).await;
        assert_eq!(answer.status, status, "{token:?}: {}", answer.body);
    }
    for bad in ["reports=0", "reports=20001", "participant=ada", "who=ada"] {
        let answer = coordinator
            .api(Method::GET, &format!("{path}?{bad}"), Value::Null)
            .await;
        assert!(
            [400, 422].contains(&answer.status),
            "{bad}: {}",
            answer.status
        );
    }
    let nothing = TestCoordinator::start_with(|settings| settings.quality_retention_h = Some(0));
    let nothing = nothing.await;
    let meeting = nothing.meeting(json!({})).await;
    let mut west = nothing.edge("west").await;
    let here = [joined(&attendee(1, "Ada", 5))];
    west.attendance(&meeting["id"], false, &here).await;
    west.demand(&meeting["id"], 1).await;
    west.until(|message| {
        matches!(
            message,
            sluice_types::mesh::control::CoordinatorMessage::Plan(_)
        )
    })
    .await;
    let told = nothing.until_quality(&meeting, "an answer", |_| true).await;
    assert_eq!(told["participants"], json!([]));
}
