//! The file of records. Every coordinator has one of its own, since edges tell each of them everything:
//! so much, so often, is nothing for a store that several share.

use std::path::Path;

use redb::{
    AccessGuard, Database, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    WriteTransaction,
};
use sluice_types::ids::MeetingId;

use crate::store::StoreError;

/// Meeting and time; and the same by time, with how many bytes each has.
const QUALITY: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("quality/1");
const QUALITY_BY_AGE: TableDefinition<'_, (u64, &str), u64> =
    TableDefinition::new("quality-by-age/1");
/// How many bytes each meeting has.
const QUALITY_BYTES: TableDefinition<'_, &str, u64> = TableDefinition::new("quality-bytes/1");

/// A part of a meeting's record; what is in it the file need not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Whose.
    pub(super) meeting: MeetingId,
    /// When it was written, in milliseconds since 1970.
    pub(super) at_ms: u64,
    /// What it says.
    pub(super) bytes: Vec<u8>,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Database(error.to_string())
}

/// An open file. Calls block for as long as the disk takes.
pub(super) struct File {
    database: Database,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}

impl File {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened, is something else, or is open elsewhere.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let named = |error: redb::DatabaseError| failed(format!("{}: {error}", path.display()));
        let database = Database::create(path).map_err(named)?;
        let write = database.begin_write().map_err(failed)?;
        Records::open(&write)?;
        write.commit().map_err(failed)?;
        Ok(Self { database })
    }

    /// Keeps parts of records, in one write. Of a meeting that has more than `meeting_bytes_max` the
    /// oldest are forgotten.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn keep(&self, chunks: &[Chunk], meeting_bytes_max: u64) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut records = Records::open(&write)?;
            for chunk in chunks {
                records.keep(chunk, meeting_bytes_max)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// The parts of a meeting's record, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn read(&self, meeting: &MeetingId) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(QUALITY).map_err(failed)?;
        let id = meeting.as_str();
        let range = table.range((id, 0)..=(id, u64::MAX)).map_err(failed)?;
        let bytes = |entry: Result<(_, AccessGuard<'_, &[u8]>), StorageError>| {
            Ok(entry.map_err(failed)?.1.value().to_vec())
        };
        range.map(bytes).collect()
    }

    /// Forgets what was written before `before_ms`, and the oldest of what is more than `bytes_max`;
    /// gives how many bytes are left.
    ///
    /// # Errors
    /// When they cannot be forgotten.
    pub(super) fn forget(&self, before_ms: u64, bytes_max: u64) -> Result<u64, StoreError> {
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

/// The tables, in one write.
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

    fn keep(&mut self, chunk: &Chunk, meeting_bytes_max: u64) -> Result<(), StoreError> {
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
mod tests {
    use super::*;

    fn chunk(n: u8, at_ms: u64, bytes: usize) -> Chunk {
        Chunk {
            meeting: MeetingId::from_random([n; 10]),
            at_ms,
            bytes: vec![at_ms as u8; bytes],
        }
    }

    #[test]
    fn records_are_kept_in_order_and_within_bounds() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::open(&dir.path().join("quality.redb")).expect("a file");
        let meeting = |n| MeetingId::from_random([n; 10]);
        file.keep(&[chunk(1, 10, 40), chunk(2, 10, 40)], 100)
            .expect("kept");
        // In the same millisecond, as after a restart.
        file.keep(&[chunk(1, 10, 30)], 100).expect("kept");
        file.keep(&[chunk(1, 20, 50)], 100).expect("kept");
        let lengths = |n| -> Vec<usize> {
            let chunks = file.read(&meeting(n)).expect("read");
            chunks.iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(1), [30, 50], "the oldest of 120 bytes went");
        assert_eq!(lengths(2), [40]);
        assert_eq!(file.forget(0, 1_000).expect("looked"), 120);
        assert_eq!(file.forget(11, 1_000).expect("looked"), 80);
        assert_eq!(lengths(1), [30, 50], "it was written a moment later");
        assert_eq!(lengths(2), [0; 0]);
        assert_eq!(file.forget(0, 60).expect("looked"), 50);
        assert_eq!(lengths(1), [50]);
        assert_eq!(file.forget(u64::MAX, 0).expect("looked"), 0);
        assert_eq!(lengths(1), [0; 0]);
    }
}
