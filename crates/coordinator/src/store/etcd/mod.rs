//! etcd, for several coordinators. What belongs together is written in one transaction, and what
//! depends on something read compares its revision.

mod changes;
mod keys;
mod members;
mod plans;
mod session;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use sluice_types::ids::{Epoch, MeetingId, Term};
use sluice_types::mesh::control::{RelayTree, RoomPlan};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::changes::{CHANGES, Watching};
use self::keys::Keys;
use self::members::Members;
pub use self::members::{EtcdSettings, EtcdTls};
use self::session::{Lead, Session};
use super::{
    Change, Page, Store, StoreError, StoredMeeting, StoredTopology, StoredWaiting, TOPOLOGIES_MAX,
};

/// How many keys are asked for or written at once; etcd takes 128 operations in a transaction.
const BATCH: usize = 60;

/// How long those who wait are kept at least, and for how long one lease is used for new ones.
const WAITING_KEPT_S: i64 = 300;
const WAITING_LEASE_USED: Duration = Duration::from_secs(120);

/// The shared store.
pub struct EtcdStore {
    members: Arc<Members>,
    keys: Arc<Keys>,
    runtime: Handle,
    lead: Arc<watch::Sender<Option<Lead>>>,
    leading: watch::Receiver<Option<Term>>,
    resigned: Arc<AtomicBool>,
    changes: Mutex<Option<mpsc::Receiver<Change>>>,
    waiting_lease: tokio::sync::Mutex<Option<(i64, Instant)>>,
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
            waiting_lease: tokio::sync::Mutex::new(None),
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

    async fn create(&self, meeting: &StoredMeeting) -> Result<(), StoreError> {
        let key = self.keys.meeting(&meeting.id);
        let value = serde_json::to_vec(meeting)?;
        let mut ops = vec![
            TxnOp::put(key.clone(), value.clone(), None),
            TxnOp::put(self.keys.place(meeting), "", None),
        ];
        if !meeting.ended {
            ops.push(TxnOp::put(self.keys.open(meeting), "", None));
        }
        let txn = Txn::new()
            .when([Compare::create_revision(&*key, CompareOp::Equal, 0)])
            .and_then(ops)
            .or_else([TxnOp::get(&*key, None)]);
        self.settle(txn, &value).await
    }

    async fn replace(
        &self,
        before: &StoredMeeting,
        after: &StoredMeeting,
    ) -> Result<(), StoreError> {
        let key = self.keys.meeting(&before.id);
        let (old, new) = (serde_json::to_vec(before)?, serde_json::to_vec(after)?);
        let open = self.keys.open(after);
        let open = if after.ended {
            TxnOp::delete(open, None)
        } else {
            TxnOp::put(open, "", None)
        };
        let txn = Txn::new()
            .when([Compare::value(&*key, CompareOp::Equal, old)])
            .and_then([TxnOp::put(&*key, new.clone(), None), open])
            .or_else([TxnOp::get(&*key, None)]);
        self.settle(txn, &new).await
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

    async fn page(
        &self,
        tenant: &str,
        after: Option<(u64, MeetingId)>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let prefix = self.keys.of_tenant(tenant);
        let from = after.map_or_else(
            || prefix.clone().into_bytes(),
            |(created, id)| {
                let mut last = self.keys.by_age(tenant, created, id.as_str()).into_bytes();
                last.push(0);
                last
            },
        );
        let mut places = self.scan_from(&prefix, from, limit + 1).await?;
        let more = places.len() > limit;
        places.truncate(limit);
        let ids = places.iter().filter_map(|place| {
            let (_, id) = place.key_str().ok()?.rsplit_once('/')?;
            id.parse().ok()
        });
        let keys = ids.map(|id| self.keys.meeting(&id)).collect();
        let found = self.get_all(keys).await?.into_iter().flatten();
        let meetings: Result<_, _> = found
            .map(|pair| serde_json::from_slice(pair.value()))
            .collect();
        Ok(Page {
            meetings: meetings?,
            more,
        })
    }

    async fn count(&self, prefix: &str) -> Result<usize, StoreError> {
        let found = self
            .members
            .call(|mut client| async move {
                let count = GetOptions::new().with_prefix().with_count_only();
                client.get(prefix, Some(count)).await
            })
            .await?;
        Ok(usize::try_from(found.count()).unwrap_or_default())
    }

    async fn make_signing_key(&self, make: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let key = self.keys.signing_key();
        if let Some(known) = self.get(&key).await? {
            return Ok(known.value().to_vec());
        }
        let made = make();
        let txn = Txn::new()
            .when([Compare::create_revision(&*key, CompareOp::Equal, 0)])
            .and_then([TxnOp::put(&*key, made.clone(), None)])
            .or_else([TxnOp::get(&*key, None)]);
        let done = self.txn(txn).await?;
        let known = gets(&done).pop().flatten();
        Ok(known.map_or(made, |known| known.value().to_vec()))
    }

    async fn rotate(&self, key: &[u8]) -> Result<(), StoreError> {
        let (now, before) = (self.keys.signing_key(), self.keys.signing_key_before());
        let until_now = self.get(&now).await?;
        let revision = until_now.as_ref().map_or(0, KeyValue::mod_revision);
        let mut ops = vec![TxnOp::put(&*now, key, None)];
        if let Some(until_now) = until_now {
            ops.push(TxnOp::put(before, until_now.value(), None));
        }
        let txn = Txn::new()
            .when([Compare::mod_revision(&*now, CompareOp::Equal, revision)])
            .and_then(ops)
            .or_else([TxnOp::get(&*now, None)]);
        self.settle(txn, key).await
    }

    async fn put_topology(&self, topology: &StoredTopology) -> Result<(), StoreError> {
        let key = self.keys.topology(topology.version);
        let value = serde_json::to_vec(topology)?;
        let mut when = vec![Compare::create_revision(&*key, CompareOp::Equal, 0)];
        when.push(match topology.version.checked_sub(1) {
            None => return Err(StoreError::Conflict),
            Some(0) => {
                Compare::create_revision(self.keys.topologies(), CompareOp::Equal, 0).with_prefix()
            }
            Some(before) => {
                Compare::create_revision(self.keys.topology(before), CompareOp::Greater, 0)
            }
        });
        let mut ops = vec![TxnOp::put(&*key, value.clone(), None)];
        if let Some(old) = topology.version.checked_sub(TOPOLOGIES_MAX as u64) {
            ops.push(TxnOp::delete(self.keys.topology(old), None));
        }
        let txn = Txn::new()
            .when(when)
            .and_then(ops)
            .or_else([TxnOp::get(&*key, None)]);
        self.settle(txn, &value).await
    }

    async fn put_waiting(&self, waiting: &StoredWaiting) -> Result<(), StoreError> {
        let value = serde_json::to_vec(waiting)?;
        let key = self.keys.waiting(&waiting.meeting, &waiting.participant);
        let lease = {
            let mut used = self.waiting_lease.lock().await;
            match *used {
                Some((lease, since)) if since.elapsed() < WAITING_LEASE_USED => lease,
                _ => {
                    let seconds = WAITING_KEPT_S + WAITING_LEASE_USED.as_secs() as i64;
                    let granted = self
                        .members
                        .call(|mut client| async move { client.lease_grant(seconds, None).await })
                        .await?;
                    *used = Some((granted.id(), Instant::now()));
                    granted.id()
                }
            }
        };
        let put = self.members.call(|mut client| {
            let (key, value) = (key.clone(), value.clone());
            let options = PutOptions::new().with_lease(lease);
            async move { client.put(key, value, Some(options)).await }
        });
        put.await.map(drop)
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
