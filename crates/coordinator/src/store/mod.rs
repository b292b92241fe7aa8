//! What must outlive the process: meetings, the signing key, and the epochs of plans.

mod redb_store;

use serde::{Deserialize, Serialize};
use sluice_types::ids::{Epoch, Invite, MeetingId};
use sluice_types::rest::MeetingSettings;
use thiserror::Error;

pub use self::redb_store::RedbStore;

/// A meeting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMeeting {
    /// Its id.
    pub id: MeetingId,
    /// Whose it is.
    pub tenant: String,
    /// What people call it.
    pub title: String,
    /// When it is to start, RFC 3339.
    pub scheduled_at: Option<String>,
    /// Its settings.
    pub settings: MeetingSettings,
    /// When it was created, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// It was ended.
    pub ended: bool,
    /// The secret of its join link.
    pub invite: Invite,
    /// The SHA-256 digest of its host key, which itself is not kept.
    pub host_key_digest: [u8; 32],
}

/// Why the store does not do what it should.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database says no.
    #[error("the store: {0}")]
    Database(String),
    /// A value cannot be read or written.
    #[error("a value of the store: {0}")]
    Value(#[from] serde_json::Error),
    /// Another writer was faster.
    #[error("the value changed meanwhile")]
    Conflict,
}

/// A page of meetings, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The meetings.
    pub meetings: Vec<StoredMeeting>,
    /// There are more after the last of them.
    pub more: bool,
}

/// A part of a meeting's record of quality; what is in it the store need not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualityChunk {
    /// Whose.
    pub meeting: MeetingId,
    /// When it was written, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Somewhere to keep things. Calls block for as long as the disk takes.
pub trait Store: Send + Sync {
    /// Keeps a new meeting.
    ///
    /// # Errors
    /// When it cannot be written, or its id is taken.
    fn create_meeting(&self, meeting: &StoredMeeting) -> Result<(), StoreError>;

    /// A meeting by its id.
    ///
    /// # Errors
    /// When it cannot be read.
    fn meeting(&self, id: &MeetingId) -> Result<Option<StoredMeeting>, StoreError>;

    /// Replaces `before` by `after`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when what is kept is not `before`.
    fn replace_meeting(
        &self,
        before: &StoredMeeting,
        after: &StoredMeeting,
    ) -> Result<(), StoreError>;

    /// A tenant's meetings, newest first, from after `after` (created at, id) on.
    ///
    /// # Errors
    /// When they cannot be read.
    fn meetings(
        &self,
        tenant: &str,
        after: Option<(u64, MeetingId)>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// How many meetings of a tenant are not ended.
    ///
    /// # Errors
    /// When they cannot be counted.
    fn open_meetings(&self, tenant: &str) -> Result<usize, StoreError>;

    /// The signing key (PKCS #8), made by `make` when there is none yet.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    fn signing_key(&self, make: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>, StoreError>;

    /// The signing key before that one, whose tokens are still good, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn signing_key_before(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// The next epoch of each room's plan, kept in one write: none was ever given before, not even
    /// before a crash.
    ///
    /// # Errors
    /// When they cannot be written.
    fn next_epochs(&self, rooms: &[MeetingId]) -> Result<Vec<Epoch>, StoreError>;

    /// The latest epoch of a room's plan, if it ever had one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn last_epoch(&self, room: &MeetingId) -> Result<Option<Epoch>, StoreError>;

    /// Keeps parts of records, in one write. Of a meeting that has more than `meeting_bytes_max` the
    /// oldest are forgotten.
    ///
    /// # Errors
    /// When they cannot be written.
    fn keep_quality(
        &self,
        chunks: &[QualityChunk],
        meeting_bytes_max: u64,
    ) -> Result<(), StoreError>;

    /// The parts of a meeting's record, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    fn quality(&self, meeting: &MeetingId) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Forgets what was written before `before_ms`, and the oldest of what is more than `bytes_max`;
    /// gives how many bytes are left.
    ///
    /// # Errors
    /// When they cannot be forgotten.
    fn forget_quality(&self, before_ms: u64, bytes_max: u64) -> Result<u64, StoreError>;
}
