//! One file, for one coordinator. Every write is on the disk before it returns.

use std::path::Path;

use redb::{
    AccessGuard, Database, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    WriteTransaction,
};
use sluice_types::ids::{Epoch, MeetingId};

use super::{Page, QualityChunk, Store, StoreError, StoredMeeting};

const MEETINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meetings/1");

/// Tenant, inverted creation time and id: in order, a tenant's newest meetings come first. The value
/// says whether the meeting is open.
const BY_TENANT: TableDefinition<'_, (&str, u64, &str), bool> =
    TableDefinition::new("meetings-by-tenant/1");

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys/1");
const EPOCHS: TableDefinition<'_, &str, u64> = TableDefinition::new("epochs/1");

/// Meeting and time; and the same by time, with how many bytes each has.
const QUALITY: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("quality/1");
const QUALITY_BY_AGE: TableDefinition<'_, (u64, &str), u64> =
    TableDefinition::new("quality-by-age/1");
/// How many bytes each meeting has.
const QUALITY_BYTES: TableDefinition<'_, &str, u64> = TableDefinition::new("quality-bytes/1");

/// The name of the key that signs join tokens.
const SIGNING_KEY: &str = "join-tokens";
/// The name of the one before it, whose tokens are still good.
const SIGNING_KEY_BEFORE: &str = "join-tokens-before";

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
        write.open_table(QUALITY).map_err(failed)?;
        write.open_table(QUALITY_BY_AGE).map_err(failed)?;
        write.open_table(QUALITY_BYTES).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self { database })
    }

    /// Signs with this key (PKCS #8) from the next start on; the one until now stays good, and the
    /// one before that is forgotten.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rotate_signing_key(&self, key: &[u8]) -> Result<(), StoreError> {
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

    /// The keys that join tokens may be signed with, the one in use first; at most two.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn signing_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let keys = read.open_table(KEYS).map_err(failed)?;
        let mut found = Vec::new();
        for name in [SIGNING_KEY, SIGNING_KEY_BEFORE] {
            let key = keys.get(name).map_err(failed)?;
            found.extend(key.map(|key| key.value().to_vec()));
        }
        Ok(found)
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

    fn signing_key_before(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.signing_keys()?.into_iter().nth(1))
    }

    fn next_epochs(&self, rooms: &[MeetingId]) -> Result<Vec<Epoch>, StoreError> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let write = self.database.begin_write().map_err(failed)?;
        let mut given = Vec::with_capacity(rooms.len());
        {
            let mut epochs = write.open_table(EPOCHS).map_err(failed)?;
            for room in rooms {
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

    fn keep_quality(
        &self,
        chunks: &[QualityChunk],
        meeting_bytes_max: u64,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut records = Records::open(&write)?;
            for chunk in chunks {
                records.keep(chunk, meeting_bytes_max)?;
            }
        }
        write.commit().map_err(failed)
    }

    fn quality(&self, meeting: &MeetingId) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(QUALITY).map_err(failed)?;
        let id = meeting.as_str();
        let range = table.range((id, 0)..=(id, u64::MAX)).map_err(failed)?;
        let bytes = |entry: Result<(_, AccessGuard<'_, &[u8]>), StorageError>| {
            Ok(entry.map_err(failed)?.1.value().to_vec())
        };
        range.map(bytes).collect()
    }

    fn forget_quality(&self, before_ms: u64, bytes_max: u64) -> Result<u64, StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        let left = {
            let mut records = Records::open(&write)?;
            let mut bytes = records.bytes()?;
            while let Some((at_ms, meeting, size)) = records.oldest()? {
                if at_ms >= before_ms && bytes <= bytes_max {
                    break;
                }
                records.forget(&meeting, at_ms, size)?;
                bytes -= size.min(bytes);
            }
            bytes
        };
        write.commit().map_err(failed)?;
        Ok(left)
    }
}

/// The tables of quality records, in one write.
struct Records<'a> {
    chunks: Table<'a, (&'static str, u64), &'static [u8]>,
    by_age: Table<'a, (u64, &'static str), u64>,
    sizes: Table<'a, &'static str, u64>,
}

impl<'a> Records<'a> {
    fn open(write: &'a WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            chunks: write.open_table(QUALITY).map_err(failed)?,
            by_age: write.open_table(QUALITY_BY_AGE).map_err(failed)?,
            sizes: write.open_table(QUALITY_BYTES).map_err(failed)?,
        })
    }

    fn size_of(&self, meeting: &str) -> Result<u64, StoreError> {
        let size = self.sizes.get(meeting).map_err(failed)?;
        Ok(size.map_or(0, |size| size.value()))
    }

    fn keep(&mut self, chunk: &QualityChunk, meeting_bytes_max: u64) -> Result<(), StoreError> {
        let meeting = chunk.meeting.as_str();
        let mut at_ms = chunk.at_ms;
        while self.chunks.get((meeting, at_ms)).map_err(failed)?.is_some() {
            at_ms += 1;
        }
        let size = chunk.bytes.len() as u64;
        self.chunks
            .insert((meeting, at_ms), &*chunk.bytes)
            .map_err(failed)?;
        self.by_age.insert((at_ms, meeting), size).map_err(failed)?;
        let all = self.size_of(meeting)? + size;
        self.sizes.insert(meeting, all).map_err(failed)?;
        while self.size_of(meeting)? > meeting_bytes_max {
            let range = self.chunks.range((meeting, 0)..=(meeting, u64::MAX));
            let oldest = match range.map_err(failed)?.next() {
                Some(entry) => {
                    let (key, bytes) = entry.map_err(failed)?;
                    (key.value().1, bytes.value().len() as u64)
                }
                None => break,
            };
            self.forget(meeting, oldest.0, oldest.1)?;
        }
        Ok(())
    }

    fn forget(&mut self, meeting: &str, at_ms: u64, size: u64) -> Result<(), StoreError> {
        self.chunks.remove((meeting, at_ms)).map_err(failed)?;
        self.by_age.remove((at_ms, meeting)).map_err(failed)?;
        let left = self.size_of(meeting)?.saturating_sub(size);
        if left == 0 {
            self.sizes.remove(meeting).map_err(failed)?;
        } else {
            self.sizes.insert(meeting, left).map_err(failed)?;
        }
        Ok(())
    }

    fn oldest(&self) -> Result<Option<(u64, String, u64)>, StoreError> {
        let Some((key, size)) = self.by_age.first().map_err(failed)? else {
            return Ok(None);
        };
        let (at_ms, meeting) = key.value();
        Ok(Some((at_ms, meeting.to_owned(), size.value())))
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for entry in self.sizes.iter().map_err(failed)? {
            bytes += entry.map_err(failed)?.1.value();
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
