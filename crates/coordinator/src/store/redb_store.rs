//! One file, for one coordinator. Every write is on the disk before it returns.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sluice_types::ids::{Epoch, MeetingId, Term};
use sluice_types::mesh::control::{RelayTree, RoomPlan};
use sluice_types::revocation::Revocation;
use tokio::sync::{mpsc, watch};

use super::{
    Change, Page, PlacesWanted, Store, StoreError, StoredMeeting, StoredTopology, StoredWaiting,
    TOPOLOGIES_MAX,
};

const MEETINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meetings/1");

/// Tenant, inverted creation time and id: in order, a tenant's newest meetings come first. The value
/// says whether the meeting is open.
const BY_TENANT: TableDefinition<'_, (&str, u64, &str), bool> =
    TableDefinition::new("meetings-by-tenant/1");

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys/1");
const EPOCHS: TableDefinition<'_, &str, u64> = TableDefinition::new("epochs/1");
const TOPOLOGIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("topologies/1");

const REVOCATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("revocations/1");

/// The last term under the empty name.
const TERMS: TableDefinition<'_, &str, u64> = TableDefinition::new("terms/1");

/// The name of the key that signs join tokens.
const SIGNING_KEY: &str = "join-tokens";
/// The name of the one before it, whose tokens are still good.
const SIGNING_KEY_BEFORE: &str = "join-tokens-before";

/// The embedded store.
pub struct RedbStore {
    database: Database,
    /// In which term it is open. Nobody else leads.
    term: Term,
    leading: watch::Sender<Option<Term>>,
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
    /// Opens the file, or makes it, in a new term.
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
        write.open_table(TOPOLOGIES).map_err(failed)?;
        write.open_table(REVOCATIONS).map_err(failed)?;
        let term = {
            let mut terms = write.open_table(TERMS).map_err(failed)?;
            let last = terms.get("").map_err(failed)?.map(|term| term.value());
            let term = next_term(last);
            terms.insert("", term.0).map_err(failed)?;
            term
        };
        write.commit().map_err(failed)?;
        Ok(Self {
            database,
            term,
            leading: watch::Sender::new(Some(term)),
        })
    }
}

/// The term after the last one. Never below the clock, so that a store that was restored from a
/// backup does not begin with terms that edges have long left behind.
pub(super) fn next_term(last: Option<u64>) -> Term {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = since_1970.unwrap_or_default().as_millis() as u64;
    Term(last.map_or(clock, |last| (last + 1).max(clock)))
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

    fn rotate_signing_key(&self, key: &[u8]) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut keys = write.open_table(KEYS).map_err(failed)?;
            let until_now = keys
                .insert(SIGNING_KEY, key)
                .map_err(failed)?
                .map(|key| key.value().to_vec());
            if let Some(until_now) = until_now {
                keys.insert(SIGNING_KEY_BEFORE, &*until_now)
                    .map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    fn signing_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let keys = read.open_table(KEYS).map_err(failed)?;
        let mut found = Vec::new();
        for name in [SIGNING_KEY, SIGNING_KEY_BEFORE] {
            let key = keys.get(name).map_err(failed)?;
            found.extend(key.map(|key| key.value().to_vec()));
        }
        Ok(found)
    }

    fn leading(&self) -> watch::Receiver<Option<Term>> {
        self.leading.subscribe()
    }

    fn changes(&self) -> Option<mpsc::Receiver<Change>> {
        None
    }

    fn keep_plans(
        &self,
        term: Term,
        plans: &[(MeetingId, &[RelayTree])],
    ) -> Result<Vec<Epoch>, StoreError> {
        if term != self.term {
            return Err(StoreError::Deposed(term));
        }
        if plans.is_empty() {
            return Ok(Vec::new());
        }
        let write = self.database.begin_write().map_err(failed)?;
        let mut given = Vec::with_capacity(plans.len());
        {
            let mut epochs = write.open_table(EPOCHS).map_err(failed)?;
            for (room, _) in plans {
                let last = epochs.get(room.as_str()).map_err(failed)?;
                let next = last.map_or(0, |epoch| epoch.value()) + 1;
                epochs.insert(room.as_str(), next).map_err(failed)?;
                given.push(Epoch(next));
            }
        }
        write.commit().map_err(failed)?;
        Ok(given)
    }

    fn last_epoch(&self, room: &MeetingId) -> Result<Option<Epoch>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let epochs = read.open_table(EPOCHS).map_err(failed)?;
        let last = epochs.get(room.as_str()).map_err(failed)?;
        Ok(last.map(|epoch| Epoch(epoch.value())))
    }

    fn plans(&self) -> Result<Vec<RoomPlan>, StoreError> {
        Ok(Vec::new())
    }

    fn topologies(&self) -> Result<Vec<StoredTopology>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(TOPOLOGIES).map_err(failed)?;
        let mut versions = Vec::new();
        for entry in table.iter().map_err(failed)?.rev() {
            let (_, value) = entry.map_err(failed)?;
            versions.push(serde_json::from_slice(value.value())?);
        }
        Ok(versions)
    }

    fn keep_topology(&self, topology: &StoredTopology) -> Result<(), StoreError> {
        let value = serde_json::to_vec(topology)?;
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(TOPOLOGIES).map_err(failed)?;
            let last = table.last().map_err(failed)?;
            if topology.version != last.map_or(0, |(version, _)| version.value()) + 1 {
                return Err(StoreError::Conflict);
            }
            table.insert(topology.version, &*value).map_err(failed)?;
            if let Some(old) = topology.version.checked_sub(TOPOLOGIES_MAX as u64) {
                table.remove(old).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(REVOCATIONS).map_err(failed)?;
        let mut revocations = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (_, value) = entry.map_err(failed)?;
            revocations.push(serde_json::from_slice(value.value())?);
        }
        Ok(revocations)
    }

    fn keep_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let value = serde_json::to_vec(revocation)?;
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(REVOCATIONS).map_err(failed)?;
            let name = revocation.what.name();
            table.insert(&*name, &*value).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn forget_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(REVOCATIONS).map_err(failed)?;
            let name = revocation.what.name();
            table.remove(&*name).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// Nobody else is to be told.
    fn keep_waiting(&self, _: &StoredWaiting) -> Result<(), StoreError> {
        Ok(())
    }

    fn waiting(&self) -> Result<Vec<StoredWaiting>, StoreError> {
        Ok(Vec::new())
    }

    /// There is nobody else.
    fn reserve_places(&self, _: &MeetingId, wanted: PlacesWanted) -> Result<u32, StoreError> {
        // Nobody else lets anybody in.
        Ok(wanted.wanted.min(wanted.free))
    }

    fn resign(&self) {}
}

#[cfg(test)]
mod tests;
