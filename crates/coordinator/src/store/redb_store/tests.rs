use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sluice_types::ids::Invite;
use sluice_types::rest::MeetingSettings;

use super::*;

fn meeting(n: u8, tenant: &str, created_at_ms: u64) -> StoredMeeting {
    StoredMeeting {
        id: MeetingId::from_random([n; 10]),
        tenant: tenant.to_owned(),
        title: format!("meeting {n}"),
        scheduled_at: None,
        settings: MeetingSettings::default(),
        created_at_ms,
        ended: false,
        invite: Invite::from_random([n; 15]),
        host_key_digest: [n; 32],
    }
}

fn store() -> (tempfile::TempDir, RedbStore) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(&dir.path().join("store.redb")).expect("a store");
    (dir, store)
}

#[test]
fn pages_go_from_the_newest_on_and_stay_within_the_tenant() {
    let (_dir, store) = store();
    for n in 0..5 {
        store
            .create_meeting(&meeting(n, "one", u64::from(n / 2)))
            .expect("kept");
    }
    store.create_meeting(&meeting(9, "other", 3)).expect("kept");
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.meetings("one", after, 2).expect("read");
        seen.extend(page.meetings.iter().map(|m| m.created_at_ms));
        after = page
            .meetings
            .last()
            .map(|m| (m.created_at_ms, m.id.clone()));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [2, 1, 1, 0, 0]);
    assert_eq!(store.open_meetings("one").expect("counted"), 5);
}

fn chunk(n: u8, at_ms: u64, bytes: usize) -> QualityChunk {
    QualityChunk {
        meeting: MeetingId::from_random([n; 10]),
        at_ms,
        bytes: vec![at_ms as u8; bytes],
    }
}

#[test]
fn records_of_quality_are_kept_in_order_and_within_bounds() {
    let (_dir, store) = store();
    let meeting = |n| MeetingId::from_random([n; 10]);
    store
        .keep_quality(&[chunk(1, 10, 40), chunk(2, 10, 40)], 100)
        .expect("kept");
    // In the same millisecond, as after a restart.
    store.keep_quality(&[chunk(1, 10, 30)], 100).expect("kept");
    store.keep_quality(&[chunk(1, 20, 50)], 100).expect("kept");
    let lengths = |n| -> Vec<usize> {
        let chunks = store.quality(&meeting(n)).expect("read");
        chunks.iter().map(Vec::len).collect()
    };
    assert_eq!(lengths(1), [30, 50], "the oldest of 120 bytes went");
    assert_eq!(lengths(2), [40]);
    assert_eq!(store.forget_quality(0, 1_000).expect("looked"), 120);
    assert_eq!(store.forget_quality(11, 1_000).expect("looked"), 80);
    assert_eq!(lengths(1), [30, 50], "it was written a moment later");
    assert_eq!(lengths(2), [0; 0]);
    assert_eq!(store.forget_quality(0, 60).expect("looked"), 50);
    assert_eq!(lengths(1), [50]);
    assert_eq!(store.forget_quality(u64::MAX, 0).expect("looked"), 0);
    assert_eq!(lengths(1), [0; 0]);
}

#[test]
fn only_what_was_read_is_replaced() {
    let (_dir, store) = store();
    let first = meeting(1, "one", 1);
    store.create_meeting(&first).expect("kept");
    assert!(matches!(
        store.create_meeting(&first),
        Err(StoreError::Conflict)
    ));
    let ended = StoredMeeting {
        ended: true,
        ..first.clone()
    };
    store.replace_meeting(&first, &ended).expect("replaced");
    assert!(matches!(
        store.replace_meeting(&first, &ended),
        Err(StoreError::Conflict)
    ));
    assert_eq!(store.meeting(&first.id).expect("read"), Some(ended));
    assert_eq!(store.open_meetings("one").expect("counted"), 0);
}

const CHILD: &str = "SLUICE_TEST_STORE";

/// Run by the test below in a process of its own: writes until it is killed.
#[test]
#[expect(clippy::print_stdout, reason = "tells the parent what is on the disk")]
fn writes_until_killed() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let store = RedbStore::open(Path::new(&path)).expect("a store");
    let room = MeetingId::from_random([1; 10]);
    store.create_meeting(&meeting(1, "one", 1)).expect("kept");
    store.signing_key(&|| vec![7; 16]).expect("kept");
    for _ in 0..100_000 {
        let epochs = store
            .next_epochs(std::slice::from_ref(&room))
            .expect("kept");
        println!("epoch {}", epochs[0]);
    }
}

#[test]
fn what_was_kept_survives_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.redb");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "store::redb_store::tests::writes_until_killed",
            "--nocapture",
        ])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let mut last = 0;
    for line in output.lines() {
        let line = line.expect("text");
        if let Some((_, epoch)) = line.split_once("epoch ") {
            last = epoch.parse().expect("a number");
            if last == 20 {
                child.kill().expect("running");
                break;
            }
        }
    }
    child.wait().expect("killed");
    assert_eq!(last, 20);
    let store = RedbStore::open(&path).expect("the store opens again");
    let rooms = [
        MeetingId::from_random([1; 10]),
        MeetingId::from_random([2; 10]),
    ];
    let epochs = store.next_epochs(&rooms).expect("kept");
    let Epoch(next) = epochs[0];
    assert_eq!(epochs[1], Epoch(1), "each room counts its own");
    assert!(
        next > last,
        "an epoch given before a crash is never given again"
    );
    assert_eq!(
        store.meeting(&meeting(1, "", 0).id).expect("read"),
        Some(meeting(1, "one", 1))
    );
    assert_eq!(store.signing_key(&|| vec![8]).expect("read"), [7; 16]);
}
