//! What must outlive the process: meetings, the signing keys, the epochs of plans, and the topology;
//! and who of several coordinators leads.
//!
//! Of one coordinator all of it is in one file ([`RedbStore`]); several share etcd ([`EtcdStore`]).

mod etcd;
mod redb_store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_types::ids::{Epoch, Invite, MeetingId, ParticipantId, Term};
use sluice_types::mesh::control::{RelayTree, RoomPlan};
use sluice_types::rest::MeetingSettings;
use sluice_types::revocation::Revocation;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

pub use self::etcd::{EtcdSettings, EtcdStore, EtcdTls};
pub use self::redb_store::RedbStore;

/// How many versions of the topology are kept.
pub const TOPOLOGIES_MAX: usize = 10;

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

/// A topology that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTopology {
    /// Counts from 1.
    pub version: u64,
    /// When it came into force, in milliseconds since 1970.
    pub at_ms: u64,
    /// Where it came from, for people.
    pub by: String,
    /// Its files by their paths: `topology.toml` and `regions/*.toml`.
    pub files: BTreeMap<String, String>,
}

/// One who waits for a host's word, as coordinators tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWaiting {
    /// The meeting.
    pub meeting: MeetingId,
    /// Who.
    pub participant: ParticipantId,
    /// The name it gave.
    pub name: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the host said; `None` while it has not.
    pub admitted: Option<bool>,
}

/// Places of a meeting that a coordinator wants to give away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacesWanted {
    /// How many it has given to people who are on their way, as far as others can know: these stay its
    /// own.
    pub held: u32,
    /// How many nobody has, by what it knows of the people in the meeting and of those that it let in.
    pub free: u32,
    /// The most that it wants of these.
    pub wanted: u32,
}

/// What is new in a store that several share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Anything may be: what was told until now has a gap. Read everything anew.
    Anything,
    /// A meeting was made, changed or ended.
    Meeting(MeetingId),
    /// A room has a plan.
    Plan(RoomPlan),
    /// A room has no plan any more.
    NoPlan(MeetingId),
    /// There is a new version of the topology.
    Topology,
    /// There is a new signing key.
    SigningKeys,
    /// Something more was revoked.
    Revocations,
    /// Somebody waits, still waits, or was admitted or not.
    Waiting(StoredWaiting),
}

/// Why the store does not do what it should.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database says no.
    #[error("the store: {0}")]
    Database(String),
    /// The database gives no answer for now.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// A value cannot be read or written.
    #[error("a value of the store: {0}")]
    Value(#[from] serde_json::Error),
    /// Another writer was faster.
    #[error("the value changed meanwhile")]
    Conflict,
    /// Another coordinator leads.
    #[error("term {0} is over: another coordinator leads, or none does")]
    Deposed(Term),
}

/// A page of meetings, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The meetings.
    pub meetings: Vec<StoredMeeting>,
    /// There are more after the last of them.
    pub more: bool,
}

/// Somewhere to keep things. Calls block for as long as the disk or the network takes: they belong
/// where blocking is allowed.
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

    /// The keys that join tokens may be signed with, the one in use first; at most two.
    ///
    /// # Errors
    /// When they cannot be read.
    fn signing_keys(&self) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Signs with this key (PKCS #8) from now on; the one until now stays good, and the one before
    /// that is forgotten.
    ///
    /// # Errors
    /// When it cannot be written.
    fn rotate_signing_key(&self, key: &[u8]) -> Result<(), StoreError>;

    /// Whether this coordinator leads, and in which term: alone it always does.
    fn leading(&self) -> watch::Receiver<Option<Term>>;

    /// What others change; the first call takes it. Nobody else changes a file.
    fn changes(&self) -> Option<mpsc::Receiver<Change>>;

    /// Keeps the next plan of each room, in one write as far as the store can; gives their epochs.
    /// None was ever given before, not even before a crash.
    ///
    /// # Errors
    /// [`StoreError::Deposed`] when the term is over, or when they cannot be written. Then some may
    /// be kept all the same.
    fn keep_plans(
        &self,
        term: Term,
        plans: &[(MeetingId, &[RelayTree])],
    ) -> Result<Vec<Epoch>, StoreError>;

    /// The plans in force that another coordinator may have made. A store of one coordinator has
    /// none: after its restart edges tell what flows.
    ///
    /// # Errors
    /// When they cannot be read.
    fn plans(&self) -> Result<Vec<RoomPlan>, StoreError>;

    /// The latest epoch of a room's plan, if it ever had one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn last_epoch(&self, room: &MeetingId) -> Result<Option<Epoch>, StoreError>;

    /// The versions of the topology, the one in force first; at most [`TOPOLOGIES_MAX`].
    ///
    /// # Errors
    /// When they cannot be read.
    fn topologies(&self) -> Result<Vec<StoredTopology>, StoreError>;

    /// Puts a version of the topology in force, which is one more than the one that is. The oldest
    /// beyond [`TOPOLOGIES_MAX`] is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when that version is not the next one.
    fn keep_topology(&self, topology: &StoredTopology) -> Result<(), StoreError>;

    /// What was revoked, in any order, and what no longer holds too.
    ///
    /// # Errors
    /// When it cannot be read.
    fn revocations(&self) -> Result<Vec<Revocation>, StoreError>;

    /// Keeps a revocation, in place of one of the same thing.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep_revocation(&self, revocation: &Revocation) -> Result<(), StoreError>;

    /// Forgets a revocation, which holds no longer.
    ///
    /// # Errors
    /// When it cannot be written.
    fn forget_revocation(&self, revocation: &Revocation) -> Result<(), StoreError>;

    /// Tells other coordinators of one who waits. Kept for a few minutes at least.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep_waiting(&self, waiting: &StoredWaiting) -> Result<(), StoreError>;

    /// Those who wait, as others told.
    ///
    /// # Errors
    /// When they cannot be read.
    fn waiting(&self) -> Result<Vec<StoredWaiting>, StoreError>;

    /// Reserves places of a meeting for this coordinator, beside those that it holds: as many as it
    /// wants of the free ones that no other has reserved. Those that it had before and does not hold are
    /// given back. What is reserved lasts a minute at least, and not much longer than this process.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    fn reserve_places(&self, room: &MeetingId, wanted: PlacesWanted) -> Result<u32, StoreError>;

    /// Lets another lead at once, because this process is about to end.
    fn resign(&self);
}
