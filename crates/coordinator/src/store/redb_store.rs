//! One file, for one coordinator. Every write is on the disk before it returns.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sluice_types::ids::{Epoch, MeetingId};

use super::{Page, Store, StoreError, StoredMeeting};

const MEETINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meetings/1");

/// Tenant, inverted creation time and id: in order, a tenant's newest meetings come first. The value
/// says whether the meeting is open.
const BY_TENANT: TableDefinition<'_, (&str, u64, &str), bool> =
    TableDefinition::new("meetings-by-tenant/1");

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys/1");
const EPOCHS: TableDefinition<'_, &str, u64> = TableDefinition::new("epochs/1");

/// The name of the key that signs join tokens.
const SIGNING_KEY: &str = "join-tokens";

/// The embedded store.
pub struct RedbStore {
    database: Database,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Database(error.to_string())
}

fn place(meeting: &StoredMeeting) -> (&str, u64, &str) {
    (
        &meeting.tenant,
        u64::MAX - meeting.created_at_ms,
        meeting.id.as_str(),
    )
}

impl RedbStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened, is no store, or is open elsewhere.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.open_table(MEETINGS).map_err(failed)?;
        write.open_table(BY_TENANT).map_err(failed)?;
        write.open_table(KEYS).map_err(failed)?;
        write.open_table(EPOCHS).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self { database })
    }
}

impl Store for RedbStore {
    fn create_meeting(&self, meeting: &StoredMeeting) -> Result<(), StoreError> {
        let value = serde_json::to_vec(meeting)?;
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut meetings = write.open_table(MEETINGS).map_err(failed)?;
            let taken = meetings
                .insert(meeting.id.as_str(), &*value)
                .map_err(failed)?
                .is_some();
            if taken {
                // Dropping the transaction undoes it.
                return Err(StoreError::Conflict);
            }
            let mut by_tenant = write.open_table(BY_TENANT).map_err(failed)?;
            by_tenant
                .insert(place(meeting), !meeting.ended)
                .map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn meeting(&self, id: &MeetingId) -> Result<Option<StoredMeeting>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let meetings = read.open_table(MEETINGS).map_err(failed)?;
        let value = meetings.get(id.as_str()).map_err(failed)?;
        Ok(value
            .map(|value| serde_json::from_slice(value.value()))
            .transpose()?)
    }

    fn replace_meeting(
        &self,
        before: &StoredMeeting,
        after: &StoredMeeting,
    ) -> Result<(), StoreError> {
        let (old, new) = (serde_json::to_vec(before)?, serde_json::to_vec(after)?);
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut meetings = write.open_table(MEETINGS).map_err(failed)?;
            let same = meetings
                .get(before.id.as_str())
                .map_err(failed)?
                .is_some_and(|kept| kept.value() == old);
            if !same {
                return Err(StoreError::Conflict);
            }
            meetings.insert(after.id.as_str(), &*new).map_err(failed)?;
            let mut by_tenant = write.open_table(BY_TENANT).map_err(failed)?;
            by_tenant
                .insert(place(after), !after.ended)
                .map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn meetings(
        &self,
        tenant: &str,
        after: Option<(u64, MeetingId)>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let by_tenant = read.open_table(BY_TENANT).map_err(failed)?;
        let table = read.open_table(MEETINGS).map_err(failed)?;
        let (from_time, from_id) = after
            .as_ref()
            .map_or((0, ""), |(created, id)| (u64::MAX - created, id.as_str()));
        let range = by_tenant
            .range((tenant, from_time, from_id)..)
            .map_err(failed)?;
        let mut page = Page {
            meetings: Vec::new(),
            more: false,
        };
        for entry in range {
            let (key, _) = entry.map_err(failed)?;
            let (of, time, id) = key.value();
            if of != tenant {
                break;
            }
            if after.is_some() && (time, id) == (from_time, from_id) {
                continue;
            }
            if page.meetings.len() == limit {
                page.more = true;
                break;
            }
            if let Some(value) = table.get(id).map_err(failed)? {
                page.meetings.push(serde_json::from_slice(value.value())?);
            }
        }
        Ok(page)
    }

    fn open_meetings(&self, tenant: &str) -> Result<usize, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let by_tenant = read.open_table(BY_TENANT).map_err(failed)?;
        let mut open = 0;
        for entry in by_tenant.range((tenant, 0, "")..).map_err(failed)? {
            let (key, is_open) = entry.map_err(failed)?;
            if key.value().0 != tenant {
                break;
            }
            open += usize::from(is_open.value());
        }
        Ok(open)
    }

    fn signing_key(&self, make: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        let key = {
            let mut keys = write.open_table(KEYS).map_err(failed)?;
            let known = keys
                .get(SIGNING_KEY)
                .map_err(failed)?
                .map(|key| key.value().to_vec());
            match known {
                Some(key) => key,
                None => {
                    let key = make();
                    keys.insert(SIGNING_KEY, &*key).map_err(failed)?;
                    key
                }
            }
        };
        write.commit().map_err(failed)?;
        Ok(key)
    }

    fn next_epoch(&self, room: &MeetingId) -> Result<Epoch, StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        let next = {
            let mut epochs = write.open_table(EPOCHS).map_err(failed)?;
            let last = epochs
                .get(room.as_str())
                .map_err(failed)?
                .map_or(0, |epoch| epoch.value());
            epochs.insert(room.as_str(), last + 1).map_err(failed)?;
            last + 1
        };
        write.commit().map_err(failed)?;
        Ok(Epoch(next))
    }

    fn last_epoch(&self, room: &MeetingId) -> Result<Option<Epoch>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let epochs = read.open_table(EPOCHS).map_err(failed)?;
        let last = epochs.get(room.as_str()).map_err(failed)?;
        Ok(last.map(|epoch| Epoch(epoch.value())))
    }
}

#[cfg(test)]
mod tests {
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
            println!("epoch {}", store.next_epoch(&room).expect("kept"));
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
        let Epoch(next) = store
            .next_epoch(&MeetingId::from_random([1; 10]))
            .expect("kept");
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
}
