//! A whole coordinator, from its configuration to its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_acme::{Acme, AcmeError};
use sluice_guard::{Connections, Gate, be_impatient};
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::{Admission, Credentials, Identity, MeshEndpoint, TransportSettings};
use sluice_trace::{Service, TraceError, Tracing};
use sluice_types::mesh::control::ALPNS;
use sluice_types::mesh::version::up_to;
use sluice_types::topology::{LoadError, Topology, TopologyFiles};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::router;
use crate::audit::{Audit, AuditError};
use crate::certificates;
use crate::config::{CoordinatorConfig, StoreConfig};
use crate::control;
use crate::declared;
use crate::geoip::{GeoIp, GeoIpError};
use crate::lead;
use crate::places;
use crate::planner;
use crate::quality::{self, Recorder};
use crate::quota::{self, Tenants, UsageError};
use crate::registry::Registry;
use crate::revocations;
use crate::state::{Parts, Shared, wall_ms};
use crate::store::{EtcdStore, RedbStore, Store, StoreError, StoredTopology};
use crate::tokens::{Signer, SigningError, new_signing_key};
use crate::topology::watch_files;
use crate::webhooks::{self, WebhookError, Webhooks};

/// How long open requests get at the end.
const GRACE: Duration = Duration::from_secs(3);

/// How often GeoIP files are looked at for changes.
const GEOIP_CHECK: Duration = Duration::from_secs(30);

/// Why a coordinator does not run.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// The topology is of no use.
    #[error("the topology cannot be loaded:\n{0}")]
    Topology(String),
    /// The mesh certificate cannot be used.
    #[error("the mesh certificate: {0}")]
    Credentials(#[from] sluice_meshnet::tls::CredentialsError),
    /// The certificate is another process's.
    #[error("the mesh certificate in {0} is not that of the coordinator")]
    WrongCertificate(PathBuf),
    /// No certificate of the public name is ordered.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// Nothing can be told of traces.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The control listener does not start.
    #[error(transparent)]
    Endpoint(#[from] sluice_meshnet::endpoint::EndpointError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing key cannot be used.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A GeoIP file cannot be used.
    #[error(transparent)]
    GeoIp(#[from] GeoIpError),
    /// The file of webhooks cannot be used.
    #[error(transparent)]
    Webhooks(#[from] WebhookError),
    /// What tenants have used is not known.
    #[error("what tenants have used: {0}")]
    Usage(#[from] UsageError),
    /// Nothing can be written to the audit log.
    #[error("the audit log: {0}")]
    Audit(#[from] AuditError),
    /// A part of it that never ends did.
    #[error("a task of the coordinator ended; the log says why")]
    TaskEnded,
    /// HTTP does not run.
    #[error("HTTP at {address}: {source}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl From<LoadError> for CoordinatorError {
    fn from(error: LoadError) -> Self {
        Self::Topology(match error {
            LoadError::Faults(faults) => faults
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
            other => other.to_string(),
        })
    }
}

/// Runs a coordinator until `shutdown`. `metrics` renders what the process records.
///
/// # Errors
/// See [`CoordinatorError`].
pub async fn run(
    config: CoordinatorConfig,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), CoordinatorError> {
    let credentials = Credentials::from_files(&CredentialFiles::in_dir(&config.mesh_dir))?;
    if *credentials.identity() != Identity::Coordinator {
        return Err(CoordinatorError::WrongCertificate(config.mesh_dir.clone()));
    }
    let mut acme = config.acme.clone().map(Acme::start).transpose()?;
    if let Some(acme) = &mut acme {
        // Before the store, where it could not lead while it waits.
        tokio::select! {
            () = acme.first() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
    let store = open_store(&config).await?;
    let reading = (store.clone(), config.clone());
    let kept = tokio::task::spawn_blocking(move || Kept::read(&*reading.0, &reading.1)).await;
    // It fails only by a panic, which was reported.
    let kept = kept.map_err(|_| CoordinatorError::TaskEnded)??;
    let Kept {
        topology,
        version,
        seen,
        signer,
    } = kept;
    let geoip = GeoIp::open(&config.geoip)?;
    declared::export_topology(&topology);
    certificates::export(&config);
    let admission = Admission::from(config.control_addresses.clone());
    let endpoint = MeshEndpoint::bind_guarded(
        config.control_listen,
        credentials,
        &TransportSettings::control(),
        up_to(config.protocol_max, ALPNS),
        admission.clone(),
    )?;
    let tls = certificates::public(&config).await?;
    let renewals = vec![endpoint.renewal()];
    let hooks = match &config.webhooks {
        Some(path) => webhooks::read(path)?,
        None => Vec::new(),
    };
    let (tell, events) = Webhooks::new(!hooks.is_empty());
    let told = events.map(|events| webhooks::run(hooks, store.clone(), events));
    let told = told.transpose()?;
    let quality = Recorder::open(&config)?;
    let service = Service {
        name: "sluice-coordinator",
        instance: config.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let permille = config.otlp_sample_permille;
    let tracing = Tracing::start(config.otlp_endpoint.as_ref(), permille, service)?;
    let shared = Shared::new(Parts {
        quality,
        config: config.clone(),
        webhooks: tell,
        topology_version: version,
        store: store.clone(),
        signer,
        geoip: geoip.clone(),
        metrics,
        registry: Registry::new(topology),
        tenants: Tenants::open(&config)?,
        audit: Audit::open(config.audit.clone())?,
        admission,
        tracing: tracing.clone(),
    });
    let knowing = shared.clone();
    // It fails only by a panic, which was reported.
    tokio::task::spawn_blocking(move || revocations::adopt(&knowing))
        .await
        .map_err(|_| CoordinatorError::TaskEnded)??;
    let mut tasks = JoinSet::new();
    tasks.spawn(lead::follow(shared.clone()));
    tasks.spawn(planner::plan(shared.clone()));
    tasks.spawn(watch_files(shared.clone(), config.topology.clone(), seen));
    if let Some(changes) = store.changes() {
        tasks.spawn(lead::keep_up(shared.clone(), changes));
    }
    tasks.spawn(watch_geoip(geoip));
    tasks.spawn(quota::meter(shared.clone()));
    tasks.spawn(places::give_back(shared.clone()));
    tasks.spawn(certificates::watch(config.clone(), renewals, tls.clone()));
    if let Some(acme) = acme {
        tasks.spawn(async { match acme.keep().await {} });
    }
    tasks.spawn(quality::run(shared.clone()));
    if let Some(told) = told {
        tasks.spawn(told);
    }
    let edges = tokio::spawn(control::serve(endpoint, shared.clone(), shutdown.clone()));
    let handle = Handle::new();
    let http = serve(&config, tls, shared.clone(), handle.clone());
    tokio::pin!(http);
    tracing::info!(http = %config.http_listen, control = %config.control_listen, "the coordinator runs");
    let result = tokio::select! {
        result = &mut http => result,
        // They work for as long as the coordinator does; without them it would only seem to run.
        _ = tasks.join_next() => Err(CoordinatorError::TaskEnded),
        () = shutdown.cancelled() => {
            handle.graceful_shutdown(Some(GRACE));
            http.await
        }
    };
    shutdown.cancel();
    // It says goodbye to edges; a panic in it has been reported.
    let _ = edges.await;
    tasks.shutdown().await;
    // Another goes on at once; a panic in it has been reported.
    let _ = tokio::task::spawn_blocking(move || {
        quality::keep_rest(&shared);
        shared.tenants.keep();
        shared.audit.sync();
        store.resign();
        tracing.stop();
    })
    .await;
    result
}

async fn open_store(config: &CoordinatorConfig) -> Result<Arc<dyn Store>, CoordinatorError> {
    Ok(match &config.store {
        StoreConfig::File(path) => Arc::new(RedbStore::open(path)?),
        StoreConfig::Etcd(settings) => {
            Arc::new(EtcdStore::open(settings, config.name.clone()).await?)
        }
    })
}

/// What the store says at the start.
struct Kept {
    topology: Topology,
    version: u64,
    /// The files, or what they have to differ from to be news.
    seen: TopologyFiles,
    signer: Signer,
}

impl Kept {
    fn read(store: &dyn Store, config: &CoordinatorConfig) -> Result<Self, CoordinatorError> {
        store.signing_key(&new_signing_key)?;
        let keys = store.signing_keys()?;
        let mut keys = keys.iter().map(Vec::as_slice);
        let signer = Signer::new(keys.next().unwrap_or_default(), keys.next())?;
        let files = TopologyFiles::read(&config.topology);
        let mut kept = store.topologies()?;
        if kept.is_empty() {
            let files = files?;
            files.parse().map_err(LoadError::Faults)?;
            let first = StoredTopology {
                version: 1,
                at_ms: wall_ms(),
                by: format!("the files of {}", config.name),
                files: files.0.clone(),
            };
            match store.keep_topology(&first) {
                // Another coordinator started at the same time.
                Ok(()) | Err(StoreError::Conflict) => kept = store.topologies()?,
                Err(error) => return Err(error.into()),
            }
            return Self::of(&kept, Some(files), signer);
        }
        let files = files.inspect_err(|error| {
            tracing::warn!(%error, "the files of the topology cannot be read; the store has it");
        });
        Self::of(&kept, files.ok(), signer)
    }

    fn of(
        kept: &[StoredTopology],
        files: Option<TopologyFiles>,
        signer: Signer,
    ) -> Result<Self, CoordinatorError> {
        let newest = kept.first().ok_or(StoreError::Conflict)?;
        let in_force = TopologyFiles(newest.files.clone());
        let topology = in_force.parse().map_err(LoadError::Faults)?;
        let known = files.filter(|files| kept.iter().any(|kept| kept.files == files.0));
        Ok(Self {
            topology,
            version: newest.version,
            seen: known.unwrap_or(in_force),
            signer,
        })
    }
}

/// Reloads GeoIP files when they change, or at once on SIGHUP.
async fn watch_geoip(geoip: GeoIp) {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let mut hangup = hangup
        .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard"))
        .ok();
    loop {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hung_up => {}
            () = tokio::time::sleep(GEOIP_CHECK) => {}
        }
        let geoip = geoip.clone();
        // Reading a file of 100 MB takes a while; it panics never, or has said so.
        let _ = tokio::task::spawn_blocking(move || geoip.reload()).await;
    }
}

async fn serve(
    config: &CoordinatorConfig,
    tls: Option<RustlsConfig>,
    shared: Shared,
    handle: Handle<SocketAddr>,
) -> Result<(), CoordinatorError> {
    let failed = |source| CoordinatorError::Http {
        address: config.http_listen,
        source,
    };
    let connections = Connections::new(config.connections);
    let service = router(shared).into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        Some(tls) => {
            let mut server = axum_server::bind_rustls(config.http_listen, tls)
                .map(|tls| Gate::new(tls, connections));
            be_impatient(&mut server);
            server.handle(handle).serve(service).await.map_err(failed)
        }
        None => {
            let mut server =
                axum_server::bind(config.http_listen).map(|plain| Gate::new(plain, connections));
            be_impatient(&mut server);
            server.handle(handle).serve(service).await.map_err(failed)
        }
    }
}
