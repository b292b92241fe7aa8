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
            .keep_plans(store.term, &[(room.clone(), &[])])
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
    let rooms = [1, 2].map(|n| (MeetingId::from_random([n; 10]), &[][..]));
    let epochs = store.keep_plans(store.term, &rooms).expect("kept");
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
