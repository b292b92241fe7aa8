//! What every store promises, of the file and of real etcd alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_coordinator::store::{
    Change, EtcdStore, PlacesWanted, RedbStore, Store, StoreError, StoredMeeting, StoredTopology,
    StoredWaiting, TOPOLOGIES_MAX,
};
use sluice_types::ids::{Epoch, Invite, MeetingId, ParticipantId, Term};
use sluice_types::mesh::control::{RelayTree, RoomPlan};
use sluice_types::rest::MeetingSettings;
use sluice_types::revocation::{Revocation, Revoked};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::etcd::Etcd;
use crate::support::PATIENCE;

/// Runs a check on both stores, where blocking is allowed.
async fn on_both(check: fn(&dyn Store, Term)) {
    let dir = tempfile::tempdir().expect("a directory");
    let redb = RedbStore::open(&dir.path().join("store.redb")).expect("a store");
    let etcd = Etcd::start(1).await;
    let shared = open(&etcd, "one").await;
    for store in [Arc::new(redb) as Arc<dyn Store>, shared] {
        let term = leads(&mut store.leading()).await;
        tokio::task::spawn_blocking(move || check(&*store, term))
            .await
            .expect("no panic");
    }
}

async fn open(etcd: &Etcd, name: &str) -> Arc<dyn Store> {
    let store = EtcdStore::open(&etcd.settings("mesh/"), name.to_owned()).await;
    Arc::new(store.expect("etcd answers"))
}

async fn leads(leading: &mut watch::Receiver<Option<Term>>) -> Term {
    let term = timeout(PATIENCE, leading.wait_for(Option::is_some)).await;
    let term = term.expect("in time").expect("the store is there");
    term.expect("waited for")
}

async fn blocking<T: Send + 'static>(
    store: &Arc<dyn Store>,
    what: impl FnOnce(&dyn Store) -> T + Send + 'static,
) -> T {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || what(&*store)).await;
    done.expect("no panic")
}

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

fn room(n: u8) -> MeetingId {
    MeetingId::from_random([n; 10])
}

fn trees() -> Vec<RelayTree> {
    vec![RelayTree {
        root: "west-1".parse().expect("an edge"),
        branches: Vec::new(),
    }]
}

fn topology(version: u64, text: &str) -> StoredTopology {
    StoredTopology {
        version,
        at_ms: 1_000 + version,
        by: "a test".to_owned(),
        files: BTreeMap::from([("topology.toml".to_owned(), text.to_owned())]),
    }
}

#[tokio::test]
async fn pages_go_from_the_newest_on_and_stay_within_the_tenant() {
    on_both(|store, _| {
        for n in 0..5 {
            store
                .create_meeting(&meeting(n, "one", u64::from(n / 2)))
                .expect("kept");
        }
        for (n, tenant) in [(9, "other"), (10, "on"), (11, "one/"), (12, "one/x")] {
            store.create_meeting(&meeting(n, tenant, 3)).expect("kept");
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = store.meetings("one", after, 2).expect("read");
            assert!(page.meetings.len() <= 2);
            seen.extend(page.meetings.iter().map(|m| m.created_at_ms));
            let last = page.meetings.last();
            after = last.map(|m| (m.created_at_ms, m.id.clone()));
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, [2, 1, 1, 0, 0]);
        assert_eq!(store.open_meetings("one").expect("counted"), 5);
        assert_eq!(store.open_meetings("nobody").expect("counted"), 0);
    })
    .await;
}

#[tokio::test]
async fn what_was_revoked_is_kept_once_and_forgotten() {
    on_both(|store, _| {
        let revocation = |what, until_s| Revocation {
            what,
            at_s: 1,
            until_s,
        };
        let room = Revoked::Meeting(room(1));
        let token = Revoked::Token("one".to_owned());
        for one in [(&room, Some(5)), (&token, None), (&room, Some(9))] {
            let one = revocation(one.0.clone(), one.1);
            store.keep_revocation(&one).expect("kept");
        }
        let mut known = store.revocations().expect("read");
        known.sort_by_key(|one| one.what.name());
        let expected = [revocation(room.clone(), Some(9)), revocation(token, None)];
        assert_eq!(known, expected);
        store.forget_revocation(&expected[0]).expect("forgotten");
        assert_eq!(store.revocations().expect("read"), expected[1..]);
    })
    .await;
}

#[tokio::test]
async fn only_what_was_read_is_replaced() {
    on_both(|store, _| {
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
        assert_eq!(store.meeting(&room(2)).expect("read"), None);
        assert_eq!(store.open_meetings("one").expect("counted"), 0);
    })
    .await;
}

#[tokio::test]
async fn the_first_signing_key_stays_and_two_are_good_after_a_rotation() {
    on_both(|store, _| {
        assert_eq!(store.signing_key(&|| vec![1]).expect("made"), [1]);
        assert_eq!(store.signing_key(&|| vec![2]).expect("read"), [1]);
        assert_eq!(store.signing_keys().expect("read"), [[1]]);
        store.rotate_signing_key(&[3]).expect("rotated");
        store.rotate_signing_key(&[4]).expect("rotated");
        assert_eq!(store.signing_keys().expect("read"), [[4], [3]]);
        assert_eq!(store.signing_key(&|| vec![5]).expect("read"), [4]);
    })
    .await;
}

#[tokio::test]
async fn each_rooms_epochs_rise_and_only_in_the_term_that_is() {
    on_both(|store, term| {
        let trees = trees();
        // More rooms than one transaction of etcd takes.
        let rooms: Vec<_> = (0..150).map(|n| (room(n), &*trees)).collect();
        assert_eq!(store.last_epoch(&room(0)).expect("read"), None);
        let first = store.keep_plans(term, &rooms).expect("kept");
        assert_eq!(first, vec![Epoch(1); 150]);
        let again = store.keep_plans(term, &rooms[..2]).expect("kept");
        assert_eq!(again, [Epoch(2); 2]);
        assert_eq!(store.last_epoch(&room(0)).expect("read"), Some(Epoch(2)));
        assert_eq!(store.last_epoch(&room(2)).expect("read"), Some(Epoch(1)));
        let other = store.keep_plans(Term(term.0 + 1), &rooms[..1]);
        assert!(matches!(other, Err(StoreError::Deposed(_))), "{other:?}");
        assert_eq!(store.last_epoch(&room(0)).expect("read"), Some(Epoch(2)));
        assert_eq!(store.keep_plans(term, &[]).expect("nothing"), []);
    })
    .await;
}

#[tokio::test]
async fn versions_of_the_topology_follow_one_another_and_ten_are_kept() {
    on_both(|store, _| {
        assert_eq!(store.topologies().expect("read"), []);
        let early = store.keep_topology(&topology(2, "b"));
        assert!(matches!(early, Err(StoreError::Conflict)), "{early:?}");
        for version in 1..=13 {
            let text = format!("{version}");
            store
                .keep_topology(&topology(version, &text))
                .expect("kept");
            let again = store.keep_topology(&topology(version, "x"));
            assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
        }
        let kept = store.topologies().expect("read");
        assert_eq!(kept.len(), TOPOLOGIES_MAX);
        assert_eq!(kept[0], topology(13, "13"));
        assert_eq!(kept[9], topology(4, "4"));
        let late = store.keep_topology(&topology(12, "x"));
        assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    })
    .await;
}

#[tokio::test]
async fn of_two_coordinators_one_leads_and_the_other_takes_over_in_a_higher_term() {
    let etcd = Etcd::start(1).await;
    let first = open(&etcd, "first").await;
    let term = leads(&mut first.leading()).await;
    let second = open(&etcd, "second").await;
    let kept = blocking(&first, move |first| {
        first.keep_plans(term, &[(room(1), &trees())])
    });
    assert_eq!(kept.await.expect("kept"), [Epoch(1)]);
    // Who does not lead keeps nothing, whatever term it claims.
    let claimed = blocking(&second, move |second| {
        second.keep_plans(term, &[(room(1), &trees())])
    });
    assert!(matches!(claimed.await, Err(StoreError::Deposed(_))));
    assert_eq!(*second.leading().borrow(), None);

    blocking(&first, |first| first.resign()).await;
    let next = leads(&mut second.leading()).await;
    assert!(next > term, "{next} after {term}");
    // The first may lead again, in a term of its own, when the second is gone.
    let stale = blocking(&first, move |first| {
        first.keep_plans(term, &[(room(1), &trees())])
    });
    assert!(matches!(stale.await, Err(StoreError::Deposed(_))));
    let plans = blocking(&second, |second| second.plans()).await;
    let plan = RoomPlan {
        room: room(1),
        epoch: Epoch(1),
        trees: trees(),
    };
    assert_eq!(plans.expect("read"), [plan], "the plan in force is known");
    let kept = blocking(&second, move |second| {
        second.keep_plans(next, &[(room(1), &[])])
    });
    assert_eq!(kept.await.expect("kept"), [Epoch(2)]);
    assert_eq!(
        blocking(&second, |second| second.plans())
            .await
            .expect("read"),
        []
    );
}

/// The next change that is wanted; others are passed over.
async fn until(changes: &mut mpsc::Receiver<Change>, wanted: impl Fn(&Change) -> bool) -> Change {
    let looking = async {
        loop {
            let change = changes.recv().await.expect("the store is there");
            if wanted(&change) {
                return change;
            }
        }
    };
    timeout(PATIENCE, looking).await.expect("in time")
}

#[tokio::test]
async fn what_one_writes_the_other_hears() {
    let etcd = Etcd::start(1).await;
    let first = open(&etcd, "first").await;
    let term = leads(&mut first.leading()).await;
    let second = open(&etcd, "second").await;
    let mut changes = second.changes().expect("others write");
    assert!(second.changes().is_none(), "taken");
    until(&mut changes, |change| *change == Change::Anything).await;
    let waiting = StoredWaiting {
        meeting: room(1),
        participant: ParticipantId::from_random([1; 10]),
        name: "Ada".to_owned(),
        since_ms: 7,
        admitted: None,
    };
    let told = waiting.clone();
    blocking(&first, move |first| {
        first.create_meeting(&meeting(1, "one", 1)).expect("kept");
        first
            .keep_plans(term, &[(room(1), &trees())])
            .expect("kept");
        first.keep_topology(&topology(1, "a")).expect("kept");
        first.rotate_signing_key(&[1]).expect("kept");
        first.keep_waiting(&told).expect("kept");
        first.keep_plans(term, &[(room(1), &[])]).expect("kept");
        let revocation = Revocation {
            what: Revoked::Meeting(room(1)),
            at_s: 1,
            until_s: None,
        };
        first.keep_revocation(&revocation).expect("kept");
        first.forget_revocation(&revocation).expect("forgotten");
    })
    .await;
    let plan = RoomPlan {
        room: room(1),
        epoch: Epoch(1),
        trees: trees(),
    };
    for change in [
        Change::Meeting(room(1)),
        Change::Plan(plan),
        Change::Topology,
        Change::SigningKeys,
        Change::Waiting(waiting.clone()),
        Change::NoPlan(room(1)),
        // It was taken back, and then given back.
        Change::Revocations,
        Change::Revocations,
    ] {
        until(&mut changes, |heard| *heard == change).await;
    }
    let known = blocking(&second, |second| second.waiting()).await;
    assert_eq!(known.expect("read"), [waiting]);
}

/// Kills the member that answers: calls go on at the others, the lead is kept or taken anew in a
/// higher term, and no epoch is given twice.
#[tokio::test]
async fn the_store_goes_on_when_a_member_of_etcd_dies() {
    let mut etcd = Etcd::start(3).await;
    let store = open(&etcd, "one").await;
    leads(&mut store.leading()).await;
    let mut last = Epoch(0);
    let mut killed = false;
    let deadline = tokio::time::Instant::now() + 3 * PATIENCE;
    while last < Epoch(40) {
        assert!(tokio::time::Instant::now() < deadline, "stuck at {last}");
        let term = leads(&mut store.leading()).await;
        let kept = blocking(&store, move |store| {
            store.keep_plans(term, &[(room(1), &trees())])
        });
        match kept.await {
            Ok(epochs) => {
                assert!(epochs[0] > last, "{epochs:?} after {last}");
                last = epochs[0];
            }
            // While members elect a leader.
            Err(error) => assert!(killed, "{error}"),
        }
        if last >= Epoch(20) && !killed {
            etcd.kill(0);
            killed = true;
        }
    }
}

#[tokio::test]
async fn etcd_that_does_not_answer_is_said_to_be_so() {
    let mut etcd = Etcd::start(1).await;
    let settings = etcd.settings("mesh/");
    etcd.kill(0);
    let opened = timeout(PATIENCE, EtcdStore::open(&settings, "one".to_owned())).await;
    let error = opened.expect("in time").err().expect("refused");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

const fn places(held: u32, free: u32, wanted: u32) -> PlacesWanted {
    PlacesWanted { held, free, wanted }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_places_are_reserved_than_are_free() {
    on_both(|store, _| {
        let room = meeting(1, "t", 1).id;
        let reserve = |wanted| store.reserve_places(&room, wanted).expect("reserved");
        assert_eq!(reserve(places(0, 10, 4)), 4);
        assert_eq!(reserve(places(4, 6, 8)), 6, "its own are no hindrance");
        assert_eq!(reserve(places(10, 0, 1)), 0);
        assert_eq!(reserve(places(0, 0, 0)), 0, "all go back");
        assert_eq!(reserve(places(0, 10, 10)), 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_reserved_another_does_not_get() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (open(&etcd, "one").await, open(&etcd, "other").await);
    let (small, large) = (meeting(1, "t", 1).id, meeting(2, "t", 1).id);
    let reserve = async |store: &Arc<dyn Store>, room: &MeetingId, wanted: PlacesWanted| {
        let room = room.clone();
        blocking(store, move |store| store.reserve_places(&room, wanted))
            .await
            .expect("reserved")
    };
    assert_eq!(reserve(&one, &small, places(0, 10, 7)).await, 7);
    assert_eq!(reserve(&other, &small, places(0, 10, 7)).await, 3);
    assert_eq!(
        reserve(&other, &large, places(0, 10, 7)).await,
        7,
        "another meeting"
    );
    // Four of the seven have come, and are counted by both now; the rest goes back.
    assert_eq!(reserve(&one, &small, places(0, 0, 0)).await, 0);
    assert_eq!(reserve(&other, &small, places(3, 3, 9)).await, 3);

    // Both at once, again and again: never more than there are.
    let racing = |store: Arc<dyn Store>| async move {
        let room = meeting(3, "t", 1).id;
        let mut got = 0;
        for _ in 0..20 {
            let free = 30 - got;
            got += reserve(&store, &room, places(got, free, 1)).await;
        }
        got
    };
    let (a, b) = tokio::join!(racing(one.clone()), racing(other.clone()));
    assert_eq!(a + b, 30);
}
