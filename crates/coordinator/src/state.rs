//! What handlers and tasks of the coordinator share.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::PrometheusHandle;
use sluice_meshnet::Admission;
use sluice_trace::Tracing;
use sluice_types::ids::{EdgeId, MeetingId, Term};
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::topology::Topology;
use sluice_types::units::Time;
use tokio::sync::{Notify, mpsc, watch};

use crate::api::Limiter;
use crate::audit::Audit;
use crate::config::CoordinatorConfig;
use crate::dns::Names;
use crate::feed::Feed;
use crate::geoip::GeoIp;
use crate::held::{self, RegistryGuard};
use crate::places::Places;
use crate::quality::Recorder;
use crate::quota::Tenants;
use crate::registry::{Plans, Registry};
use crate::revocations::Revocations;
use crate::store::Store;
use crate::tokens::Signer;
use crate::webhooks::Webhooks;

/// Messages that wait for an edge. An edge that lets more pile up is disconnected; it registers
/// again and is told everything anew.
pub(crate) const TO_EDGE: usize = 65_536;

/// Shared state; clones share it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: CoordinatorConfig,
    store: Arc<dyn Store>,
    pub(crate) geoip: GeoIp,
    pub(crate) names: Names,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) webhooks: Webhooks,
    pub(crate) quality: Recorder,
    pub(crate) tracing: Tracing,
    pub(crate) limiter: Limiter,
    pub(crate) tenants: Tenants,
    pub(crate) places: Places,
    pub(crate) feed: Feed,
    pub(crate) audit: Audit,
    pub(crate) revocations: Revocations,
    signer: RwLock<Arc<Signer>>,
    urls: RwLock<Urls>,
    leading: watch::Receiver<Option<Term>>,
    /// The version of the topology that is in force here.
    topology_version: Mutex<u64>,
    registry: Mutex<Registry>,
    plans: Mutex<Plans>,
    lines: Mutex<HashMap<EdgeId, (u64, mpsc::Sender<CoordinatorMessage>)>>,
    /// Rooms to be planned; there are never more than rooms.
    replan: Mutex<BTreeSet<MeetingId>>,
    replan_asked: Notify,
    started: Instant,
}

/// Where clients reach REST, and where the page is opened.
#[derive(Debug, Clone)]
struct Urls {
    public: String,
    page: String,
}

impl Urls {
    fn new(config: &CoordinatorConfig, topology: &Topology) -> Self {
        let settings = topology.coordinator();
        let public = config.public_url.clone();
        let public = public.unwrap_or_else(|| settings.public_url().to_owned());
        let page = config.page_url.clone().unwrap_or_else(|| public.clone());
        Self { public, page }
    }
}

/// What [`Shared::new`] is given.
pub(crate) struct Parts {
    pub(crate) config: CoordinatorConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: Signer,
    pub(crate) geoip: GeoIp,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) registry: Registry,
    pub(crate) webhooks: Webhooks,
    pub(crate) tenants: Tenants,
    pub(crate) audit: Audit,
    pub(crate) admission: Admission,
    pub(crate) topology_version: u64,
    pub(crate) quality: Recorder,
    pub(crate) tracing: Tracing,
}

impl std::ops::Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let urls = Urls::new(&parts.config, parts.registry.topology());
        let limiter = Limiter::new(parts.config.requests_per_address);
        let names = Names::new(&parts.config.name_servers);
        Self(Arc::new(Inner {
            quality: parts.quality,
            tracing: parts.tracing,
            config: parts.config,
            leading: parts.store.leading(),
            store: parts.store,
            signer: RwLock::new(Arc::new(parts.signer)),
            geoip: parts.geoip,
            names,
            metrics: parts.metrics,
            webhooks: parts.webhooks,
            limiter,
            tenants: parts.tenants,
            places: Places::default(),
            feed: Feed::default(),
            audit: parts.audit,
            revocations: Revocations::new(parts.admission),
            urls: RwLock::new(urls),
            topology_version: Mutex::new(parts.topology_version),
            plans: Mutex::new(Plans::new(parts.registry.topology())),
            registry: Mutex::new(parts.registry),
            lines: Mutex::default(),
            replan: Mutex::default(),
            replan_asked: Notify::new(),
            started: Instant::now(),
        }))
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// The term in which this coordinator leads; none while another does.
    pub(crate) fn leading(&self) -> Option<Term> {
        *self.leading.borrow()
    }

    /// Tells of each change of [`Self::leading`].
    pub(crate) fn watch_leading(&self) -> watch::Receiver<Option<Term>> {
        self.leading.clone()
    }

    /// What signs join tokens.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        let signer = self.signer.read().unwrap_or_else(PoisonError::into_inner);
        signer.clone()
    }

    /// Signs with another key from now on, and tells every edge.
    pub(crate) fn set_signer(&self, signer: Signer) {
        let jwks = signer.jwks().to_owned();
        let mut current = self.signer.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(signer);
        drop(current);
        self.tell_all(&CoordinatorMessage::Jwks { jwks });
    }

    fn urls(&self) -> Urls {
        let urls = self.urls.read().unwrap_or_else(PoisonError::into_inner);
        urls.clone()
    }

    /// How clients reach REST.
    pub(crate) fn public_url(&self) -> String {
        self.urls().public
    }

    /// Where the page is opened.
    pub(crate) fn page_url(&self) -> String {
        self.urls().page
    }

    /// The version of the topology that is in force here.
    pub(crate) fn topology_version(&self) -> MutexGuard<'_, u64> {
        let version = self.topology_version.lock();
        version.unwrap_or_else(PoisonError::into_inner)
    }

    /// Another topology is in force; its edges, and those of it that were forgotten, are told by the
    /// caller.
    pub(crate) fn set_topology(&self, topology: Topology) -> Vec<EdgeId> {
        let urls = Urls::new(&self.config, &topology);
        *self.urls.write().unwrap_or_else(PoisonError::into_inner) = urls;
        self.registry().set_topology(topology)
    }

    /// The registry; held for moments, never across an await nor while the store is asked.
    pub(crate) fn registry(&self) -> RegistryGuard<'_> {
        RegistryGuard::lock(&self.registry)
    }

    /// The store, whose calls block. Who holds the registry does not ask for it: with etcd everybody
    /// else would wait for the network too, and the answer may need the registry to arrive.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        held::assert_not_held();
        &self.store
    }

    /// The plans of all rooms; held for as long as planning takes, so only where blocking is
    /// allowed. Who holds the registry does not ask for them.
    pub(crate) fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<EdgeId, (u64, mpsc::Sender<CoordinatorMessage>)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_line(
        &self,
        edge: EdgeId,
        connection: u64,
        line: mpsc::Sender<CoordinatorMessage>,
    ) {
        self.lines().insert(edge, (connection, line));
    }

    pub(crate) fn remove_line(&self, edge: &EdgeId, connection: u64) {
        let mut lines = self.lines();
        if lines
            .get(edge)
            .is_some_and(|(current, _)| *current == connection)
        {
            lines.remove(edge);
        }
    }

    /// An edge is not of this mesh any more: its line ends.
    pub(crate) fn cut_line(&self, edge: &EdgeId) {
        self.lines().remove(edge);
    }

    /// Every edge with a line.
    pub(crate) fn connected(&self) -> Vec<EdgeId> {
        self.lines().keys().cloned().collect()
    }

    /// Tells an edge, if it is connected and keeps up.
    pub(crate) fn tell(&self, edge: &EdgeId, message: CoordinatorMessage) {
        let mut lines = self.lines();
        if let Some((_, line)) = lines.get(edge)
            && line.try_send(message).is_err()
        {
            tracing::warn!(%edge, "an edge does not keep up and is disconnected");
            lines.remove(edge);
        }
    }

    pub(crate) fn tell_all(&self, message: &CoordinatorMessage) {
        for edge in self.connected() {
            self.tell(&edge, message.clone());
        }
    }

    /// Has rooms planned anew, if this coordinator plans: one that begins to plans all.
    pub(crate) fn replan(&self, rooms: impl IntoIterator<Item = MeetingId>) {
        if self.leading().is_none() {
            return;
        }
        let mut wanted = self.replan.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.extend(rooms);
        if !wanted.is_empty() {
            self.replan_asked.notify_one();
        }
    }

    fn take_replan(&self) -> BTreeSet<MeetingId> {
        std::mem::take(&mut self.replan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the planner look at the mesh, which is not what it was.
    pub(crate) fn look_again(&self) {
        self.replan_asked.notify_one();
    }

    /// Waits until rooms are to be planned, the planner is to look at the mesh, or `wait` is over;
    /// gives the rooms.
    pub(crate) async fn rooms_to_plan(&self, wait: Duration) -> BTreeSet<MeetingId> {
        // Rooms that are asked for leave a permit: none is missed.
        let _ = tokio::time::timeout(wait, self.replan_asked.notified()).await;
        self.take_replan()
    }

    /// Every edge learns where the others are, if this coordinator leads.
    pub(crate) fn publish_directory(&self) {
        let edges = self.registry().directory();
        metrics::gauge!("sluice_coordinator_edges").set(edges.len() as f64);
        if self.leading().is_none() {
            return;
        }
        self.tell_all(&CoordinatorMessage::Directory { edges });
    }
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64
}
