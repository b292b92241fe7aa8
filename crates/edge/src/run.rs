//! A whole edge, from its configuration to its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_acme::{Acme, AcmeError};
use sluice_guard::{Connections, Gate, Rates, be_impatient};
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::{Admission, Credentials, MeshEndpoint, TransportSettings};
use sluice_trace::{Service, TraceError, Tracing};
use sluice_types::mesh::backbone;
use sluice_types::mesh::control::Registration;
use sluice_types::mesh::version;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backbone::{Backbone, BackboneSettings};
use crate::certificates;
use crate::config::EdgeConfig;
use crate::control::{Beat, Control, ControlSettings};
use crate::http::{App, router};
use crate::hub::{self, HubCommand, Parts};
use crate::media::{Media, MediaConfig, MediaError};
use crate::signal::Keyring;

/// How long open requests get at the end.
const GRACE: Duration = Duration::from_secs(2);

/// How long the edge goes on for others that receive through it: by then they have had a plan without it,
/// also from a coordinator that has just started and leaves rooms alone for six seconds, and every packet
/// of the way before.
const RELIEF: Duration = Duration::from_secs(7);

/// The most addresses of which is remembered how often they began sessions.
const ADDRESSES_REMEMBERED_MAX: usize = 100_000;

/// Why an edge does not run.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// Media does not start.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The mesh certificate cannot be used.
    #[error("the mesh certificate: {0}")]
    Credentials(#[from] sluice_meshnet::tls::CredentialsError),
    /// The certificate is another process's.
    #[error("the mesh certificate in {dir} is not that of edge `{edge}`")]
    WrongCertificate {
        /// Where it is.
        dir: String,
        /// Whose it should be.
        edge: String,
    },
    /// No certificate of the public name is ordered.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// Nothing can be told of traces.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A QUIC endpoint does not start.
    #[error(transparent)]
    Endpoint(#[from] sluice_meshnet::endpoint::EndpointError),
    /// HTTP does not run.
    #[error("HTTP at {address}: {source}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The hub ended by itself.
    #[error("the hub ended, which it never should")]
    Hub,
}

/// Runs an edge until `shutdown`, then drains it. `metrics` renders what the process records.
///
/// # Errors
/// See [`EdgeError`].
pub async fn run(
    config: EdgeConfig,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), EdgeError> {
    let config = Arc::new(config);
    let files = CredentialFiles::in_dir(&config.mesh_dir);
    let credentials = Credentials::from_files(&files)?;
    if credentials.identity().edge() != Some(&config.edge) {
        return Err(EdgeError::WrongCertificate {
            dir: config.mesh_dir.display().to_string(),
            edge: config.edge.to_string(),
        });
    }
    let acme = config.acme.clone().map(Acme::start).transpose()?;
    let _acme = match acme {
        Some(mut acme) => tokio::select! {
            // Nobody is sent here before the edge can show who it is.
            () = acme.first() => Some(AbortOnDropHandle::new(tokio::spawn(acme.keep()))),
            () = shutdown.cancelled() => return Ok(()),
        },
        None => None,
    };
    certificates::export(&config);
    // What ends only after clients were told.
    let stop = CancellationToken::new();
    let media = Media::start(MediaConfig {
        listen: config.media_listen,
        udp_port: config.media_port,
        workers: config.workers,
        capacity: config.capacity,
        pin: config.pin_workers,
        segmentation: config.segmentation,
        replay: config.replay,
        tcp_port: config.ice_tcp_port,
        advertised: config.advertise.clone(),
        addresses: config.client_addresses.clone(),
        tcp_connections: config.connections,
    })
    .await?;
    let admission = Admission::from(config.backbone_addresses.clone());
    let backbone_endpoint = MeshEndpoint::bind_guarded(
        config.backbone_listen,
        credentials,
        &TransportSettings::backbone(config.initial_mtu),
        version::up_to(config.protocol_max, backbone::ALPNS),
        admission.clone(),
    )?;
    let control_endpoint = MeshEndpoint::bind_guarded(
        SocketAddr::new(config.backbone_listen.ip(), 0),
        Credentials::from_files(&files)?,
        &TransportSettings::control(),
        &[],
        admission.clone(),
    )?;
    let tls = certificates::public(&config).await?;
    let renewals = vec![backbone_endpoint.renewal(), control_endpoint.renewal()];
    // It ends with the edge, and panics never.
    let _certificates = AbortOnDropHandle::new(tokio::spawn(certificates::watch(
        config.clone(),
        renewals,
        tls.clone(),
    )));
    let heartbeat = Arc::<Mutex<Beat>>::default();
    let measured = heartbeat.clone();
    let control = Control::start(
        control_endpoint,
        ControlSettings {
            coordinators: config.coordinators.clone(),
            registration: registration(&config),
            protocol_max: config.protocol_max,
            heartbeat: Arc::new(move || {
                measured
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
            }),
        },
        stop.clone(),
    );
    let backbone = Backbone::start(
        backbone_endpoint,
        BackboneSettings {
            edge: config.edge.clone(),
            region: config.region.clone(),
            silence: config.backbone_silence.duration(),
            protocol_max: config.protocol_max,
        },
        stop.clone(),
    );
    let service = Service {
        name: "sluice-edge",
        instance: config.edge.to_string(),
        version: env!("CARGO_PKG_VERSION"),
    };
    // It begins none of its own.
    let tracing = Tracing::start(config.otlp_endpoint.as_ref(), 0, service)?;
    let keyring = Keyring::default();
    let coordinator_url = Arc::<RwLock<Option<String>>>::default();
    let (hub, hub_task) = hub::start(
        Parts {
            config: config.clone(),
            media,
            backbone,
            control,
            keyring: keyring.clone(),
            coordinator_url: coordinator_url.clone(),
            heartbeat,
            admission,
        },
        stop.clone(),
    );
    let draining = Arc::new(AtomicBool::new(false));
    let app = App {
        hub: hub.clone(),
        keyring,
        config: config.clone(),
        coordinator_url,
        metrics,
        draining: draining.clone(),
        sessions: Arc::new(Rates::new(ADDRESSES_REMEMBERED_MAX)),
        tracing: tracing.clone(),
    };
    let handle = Handle::new();
    let http = serve(&config, tls, app, handle.clone());
    tokio::pin!(http);
    tracing::info!(edge = %config.edge, region = %config.region, http = %config.http_listen, "the edge runs");
    let mut hub_task = hub_task;
    let drained = async {
        shutdown.cancelled().await;
        draining.store(true, Ordering::Relaxed);
        // The hub is gone when this fails, and nobody is left to be told.
        if hub.send(HubCommand::Drain).await.is_ok() {
            tokio::time::sleep(config.drain.duration()).await;
            // What takes longer is left to the backups of those behind.
            let _ = tokio::time::timeout(RELIEF, hub.relieved()).await;
        }
    };
    let (result, serves) = tokio::select! {
        result = &mut http => (result, false),
        _ = &mut hub_task => (Err(EdgeError::Hub), true),
        // HTTP is served meanwhile, so that whoever asks is told that the edge goes away.
        () = drained => (Ok(()), true),
    };
    stop.cancel();
    handle.graceful_shutdown(Some(GRACE));
    // Sockets still get their last messages. What takes longer is cut off.
    let rest = async {
        if serves {
            let _ = http.await;
        }
        if !hub_task.is_finished() {
            let _ = hub_task.await;
        }
    };
    let _ = tokio::time::timeout(GRACE, rest).await;
    // It fails only by a panic, which was reported.
    let _ = tokio::task::spawn_blocking(|| tracing.stop()).await;
    result
}

fn registration(config: &EdgeConfig) -> Registration {
    Registration {
        edge: config.edge.clone(),
        region: config.region.clone(),
        sfu_endpoint: config.sfu_endpoint.clone(),
        signal_endpoint: config.signal_endpoint.clone(),
        backbone: config.backbone_endpoint.clone(),
        capacity: config.capacity,
        software: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

async fn serve(
    config: &EdgeConfig,
    tls: Option<RustlsConfig>,
    app: App,
    handle: Handle<SocketAddr>,
) -> Result<(), EdgeError> {
    let failed = |source| EdgeError::Http {
        address: config.http_listen,
        source,
    };
    let connections = Connections::new(config.connections);
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
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
