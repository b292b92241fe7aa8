//! etcd, for several coordinators. What belongs together is written in one transaction, and what
//! depends on something read compares its revision.

mod changes;
mod keys;
mod lease;
mod meetings;
mod members;
mod places;
mod plans;
mod session;
mod shared;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse, TxnResponse};
use sluice_types::ids::{Epoch, MeetingId, Term};
use sluice_types::mesh::control::{RelayTree, RoomPlan};
use sluice_types::revocation::Revocation;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::changes::{CHANGES, Watching};
use self::keys::Keys;
use self::lease::PassingLease;
use self::members::Members;
pub use self::members::{EtcdSettings, EtcdTls};
use self::session::{Lead, Session};
use super::{
    Change, Page, PlacesWanted, Store, StoreError, StoredMeeting, StoredTopology, StoredWaiting,
};

/// How many keys are asked for or written at once; etcd takes 128 operations in a transaction.
const BATCH: usize = 60;

/// How long those who wait are kept at least, in seconds.
const WAITING_KEPT_S: i64 = 300;

/// The shared store.
pub struct EtcdStore {
    members: Arc<Members>,
    keys: Arc<Keys>,
    runtime: Handle,
    lead: Arc<watch::Sender<Option<Lead>>>,
    leading: watch::Receiver<Option<Term>>,
    resigned: Arc<AtomicBool>,
    changes: Mutex<Option<mpsc::Receiver<Change>>>,
    /// For those who wait.
    waiting_lease: PassingLease,
    /// For places.
    places_lease: PassingLease,
    /// Tells this process's places from those of others.
    own: String,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// What a transaction of gets found, in its order.
fn gets(response: &TxnResponse) -> Vec<Option<KeyValue>> {
    let responses = response.op_responses().into_iter();
    responses
        .map(|response| match response {
            TxnOpResponse::Get(mut found) => found.take_kvs().pop(),
            _ => None,
        })
        .collect()
}

/// A name that no other process has.
fn own_name() -> Result<String, StoreError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Database(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A number that is kept as text.
fn number(pair: &KeyValue) -> Option<u64> {
    pair.value_str().ok()?.parse().ok()
}

impl EtcdStore {
    /// Looks whether etcd answers, then tries to lead from now on. `name` is this coordinator's, for
    /// people.
    ///
    /// # Errors
    /// When etcd does not answer, or not as it should.
    pub async fn open(settings: &EtcdSettings, name: String) -> Result<Self, StoreError> {
        let mut store = Self::connect(settings).await?;
        let (lead, vacant) = (store.lead.clone(), Arc::new(Notify::new()));
        let session = Session {
            members: store.members.clone(),
            keys: store.keys.clone(),
            name,
            lease: settings.lease,
            lead: lead.clone(),
            vacant: vacant.clone(),
            resigned: store.resigned.clone(),
        };
        let (changes, taken) = mpsc::channel(CHANGES);
        let watching = Watching {
            members: store.members.clone(),
            keys: store.keys.clone(),
            changes,
            vacant,
        };
        let (tell, leading) = watch::channel(None);
        let follow = async move {
            let mut lead = lead.subscribe();
            loop {
                let term = lead.borrow_and_update().map(|lead| lead.term);
                tell.send_replace(term);
                if lead.changed().await.is_err() {
                    return;
                }
            }
        };
        store.leading = leading;
        store.changes = Mutex::new(Some(taken));
        store._tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(session.run())),
            AbortOnDropHandle::new(tokio::spawn(watching.run())),
            AbortOnDropHandle::new(tokio::spawn(follow)),
        ];
        Ok(store)
    }

    /// For commands that only read or write: it neither leads nor hears of changes.
    ///
    /// # Errors
    /// When etcd does not answer, or not as it should.
    pub async fn connect(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let members = Arc::new(Members::new(settings).await?);
        let keys = Arc::new(Keys::new(settings.prefix.clone()));
        let (_, leading) = watch::channel(None);
        let store = Self {
            runtime: Handle::current(),
            lead: Arc::new(watch::Sender::new(None)),
            leading,
            resigned: Arc::default(),
            changes: Mutex::new(None),
            waiting_lease: PassingLease::new(WAITING_KEPT_S),
            places_lease: PassingLease::new(places::KEPT_S),
            own: own_name()?,
            _tasks: Vec::new(),
            members,
            keys,
        };
        store.get(&store.keys.term()).await?;
        Ok(store)
    }

    /// Runs on the runtime what a caller waits for who may block.
    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        let mut found = self
            .members
            .call(|mut client| async move { client.get(key, None).await })
            .await?;
        Ok(found.take_kvs().pop())
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        self.members
            .call(|mut client| {
                let txn = txn.clone();
                async move { client.txn(txn).await }
            })
            .await
    }

    async fn get_all(&self, keys: Vec<String>) -> Result<Vec<Option<KeyValue>>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let ops: Vec<_> = batch
                .iter()
                .map(|key| TxnOp::get(key.as_str(), None))
                .collect();
            found.extend(gets(&self.txn(Txn::new().and_then(ops)).await?));
        }
        Ok(found)
    }

    /// Every key of a prefix with its value, in order.
    async fn scan(&self, prefix: &str) -> Result<Vec<KeyValue>, StoreError> {
        self.scan_from(prefix, prefix.as_bytes().to_vec(), usize::MAX)
            .await
    }

    /// The keys of a prefix from one on, at most so many.
    async fn scan_from(
        &self,
        prefix: &str,
        mut from: Vec<u8>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, StoreError> {
        let mut end = prefix.as_bytes().to_vec();
        // Prefixes end with a slash, which is not the highest byte.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let mut all = Vec::new();
        loop {
            let page = BATCH.min(limit - all.len());
            let mut found = self
                .members
                .call(|mut client| {
                    let options = GetOptions::new()
                        .with_range(end.clone())
                        .with_limit(page as i64);
                    let from = from.clone();
                    async move { client.get(from, Some(options)).await }
                })
                .await?;
            all.extend(found.take_kvs());
            if !found.more() || all.len() >= limit {
                return Ok(all);
            }
            from = all
                .last()
                .map(|pair| pair.key().to_vec())
                .unwrap_or_default();
            from.push(0);
        }
    }

    /// A transaction that is in conflict only if what is kept is not `wanted`: an answer that was
    /// lost may have been that it is done.
    async fn settle(&self, txn: Txn, wanted: &[u8]) -> Result<(), StoreError> {
        let mut asked = 0;
        let done = self
            .members
            .call(|mut client| {
                asked += 1;
                let txn = txn.clone();
                async move { client.txn(txn).await }
            })
            .await?;
        let is_wanted = || {
            let found = gets(&done).pop().flatten();
            found.is_some_and(|found| found.value() == wanted)
        };
        if done.succeeded() || (asked > 1 && is_wanted()) {
            Ok(())
        } else {
            Err(StoreError::Conflict)
        }
    }
}

impl Store for EtcdStore {
    fn create_meeting(&self, meeting: &StoredMeeting) -> Result<(), StoreError> {
        self.wait(self.create(meeting))
    }

    fn meeting(&self, id: &MeetingId) -> Result<Option<StoredMeeting>, StoreError> {
        let found = self.wait(self.get(&self.keys.meeting(id)))?;
        let meeting = found.map(|pair| serde_json::from_slice(pair.value()));
        Ok(meeting.transpose()?)
    }

    fn replace_meeting(
        &self,
        before: &StoredMeeting,
        after: &StoredMeeting,
    ) -> Result<(), StoreError> {
        self.wait(self.replace(before, after))
    }

    fn meetings(
        &self,
        tenant: &str,
        after: Option<(u64, MeetingId)>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.wait(self.page(tenant, after, limit))
    }

    fn open_meetings(&self, tenant: &str) -> Result<usize, StoreError> {
        self.wait(self.count(&self.keys.open_of(tenant)))
    }

    fn signing_key(&self, make: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.wait(self.make_signing_key(make))
    }

    fn signing_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = vec![self.keys.signing_key(), self.keys.signing_key_before()];
        let found = self.wait(self.get_all(keys))?.into_iter().flatten();
        Ok(found.map(|pair| pair.value().to_vec()).collect())
    }

    fn rotate_signing_key(&self, key: &[u8]) -> Result<(), StoreError> {
        self.wait(self.rotate(key))
    }

    fn leading(&self) -> watch::Receiver<Option<Term>> {
        self.leading.clone()
    }

    fn changes(&self) -> Option<mpsc::Receiver<Change>> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.take()
    }

    fn keep_plans(
        &self,
        term: Term,
        plans: &[(MeetingId, &[RelayTree])],
    ) -> Result<Vec<Epoch>, StoreError> {
        self.wait(self.put_plans(term, plans))
    }

    fn plans(&self) -> Result<Vec<RoomPlan>, StoreError> {
        self.wait(self.all_plans())
    }

    fn last_epoch(&self, room: &MeetingId) -> Result<Option<Epoch>, StoreError> {
        let found = self.wait(self.get(&self.keys.epoch(room)))?;
        Ok(found.as_ref().and_then(number).map(Epoch))
    }

    fn topologies(&self) -> Result<Vec<StoredTopology>, StoreError> {
        let found = self.wait(self.scan(&self.keys.topologies()))?;
        let versions: Result<_, _> = found
            .iter()
            .rev()
            .map(|pair| serde_json::from_slice(pair.value()))
            .collect();
        Ok(versions?)
    }

    fn keep_topology(&self, topology: &StoredTopology) -> Result<(), StoreError> {
        self.wait(self.put_topology(topology))
    }

    fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        let found = self.wait(self.scan(&self.keys.revocations()))?;
        let revocations: Result<_, _> = found
            .iter()
            .map(|pair| serde_json::from_slice(pair.value()))
            .collect();
        Ok(revocations?)
    }

    fn keep_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let value = serde_json::to_vec(revocation)?;
        let key = self.keys.revocation(&revocation.what);
        let put = self.members.call(|mut client| {
            let (key, value) = (key.clone(), value.clone());
            async move { client.put(key, value, None).await }
        });
        self.wait(put).map(drop)
    }

    fn forget_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let key = self.keys.revocation(&revocation.what);
        let delete = self.members.call(|mut client| {
            let key = key.clone();
            async move { client.delete(key, None).await }
        });
        self.wait(delete).map(drop)
    }

    fn keep_waiting(&self, waiting: &StoredWaiting) -> Result<(), StoreError> {
        self.wait(self.put_waiting(waiting))
    }

    fn waiting(&self) -> Result<Vec<StoredWaiting>, StoreError> {
        let found = self.wait(self.scan(&self.keys.all_waiting()))?;
        let waiting: Result<_, _> = found
            .iter()
            .map(|pair| serde_json::from_slice(pair.value()))
            .collect();
        Ok(waiting?)
    }

    fn reserve_places(&self, room: &MeetingId, wanted: PlacesWanted) -> Result<u32, StoreError> {
        self.wait(self.put_places(room, wanted))
    }

    fn resign(&self) {
        self.resigned.store(true, Ordering::Relaxed);
        let Some(lead) = self.lead.send_replace(None) else {
            return;
        };
        // When it fails, the lease ends by itself.
        let revoked = self.wait(
            self.members
                .call(|mut client| async move { client.lease_revoke(lead.lease).await }),
        );
        if let Err(error) = revoked {
            tracing::info!(%error, "the lead could not be given back");
        }
    }
}
