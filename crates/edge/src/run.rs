//! A whole edge, from its configuration to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_meshnet::expiry::first_end_s;
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::{Credentials, MeshEndpoint, TransportSettings};
use sluice_types::mesh::backbone;
use sluice_types::mesh::control::{Heartbeat, Registration};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::backbone::{Backbone, BackboneSettings};
use crate::config::EdgeConfig;
use crate::control::{Control, ControlSettings};
use crate::http::{App, router};
use crate::hub::{self, HubCommand, Parts};
use crate::media::{Media, MediaConfig, MediaError};
use crate::signal::Keyring;

/// How long open requests get at the end.
const GRACE: Duration = Duration::from_secs(2);

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
    /// A QUIC endpoint does not start.
    #[error(transparent)]
    Endpoint(#[from] sluice_meshnet::endpoint::EndpointError),
    /// HTTP does not run.
    #[error("HTTP at {address}: {source}")]
    Http {
        /// Where.
        address: std::net::SocketAddr,
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
    export_certificates(&config, &files);
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
    })
    .await?;
    let backbone_endpoint = MeshEndpoint::bind(
        config.backbone_listen,
        credentials,
        &TransportSettings::backbone(config.initial_mtu),
        backbone::ALPNS,
    )?;
    let control_endpoint = MeshEndpoint::bind(
        std::net::SocketAddr::new(config.backbone_listen.ip(), 0),
        Credentials::from_files(&files)?,
        &TransportSettings::control(),
        &[],
    )?;
    let heartbeat = Arc::<Mutex<Heartbeat>>::default();
    let measured = heartbeat.clone();
    let control = Control::start(
        control_endpoint,
        ControlSettings {
            coordinators: config.coordinators.clone(),
            registration: registration(&config),
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
        },
        stop.clone(),
    );
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
    };
    let handle = Handle::new();
    let http = serve(&config, app, handle.clone());
    tokio::pin!(http);
    tracing::info!(edge = %config.edge, region = %config.region, http = %config.http_listen, "the edge runs");
    let mut hub_task = hub_task;
    let drained = async {
        shutdown.cancelled().await;
        draining.store(true, Ordering::Relaxed);
        // The hub is gone when this fails, and nobody is left to be told.
        if hub.send(HubCommand::Drain).await.is_ok() {
            tokio::time::sleep(config.drain.duration()).await;
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

/// Exports when the certificates end that the process was started with.
fn export_certificates(config: &EdgeConfig, mesh: &CredentialFiles) {
    let public = config.tls.as_ref().map(|(cert, _)| ("public", cert));
    for (of, path) in [("mesh", &mesh.cert), ("mesh_ca", &mesh.ca)]
        .into_iter()
        .chain(public)
    {
        match first_end_s(path) {
            Ok(end) => metrics::gauge!(
                "sluice_edge_certificate_expiry_timestamp_seconds", "of" => of
            )
            .set(end as f64),
            // Those who use the file say what is wrong with it.
            Err(error) => tracing::warn!(%error, of, "when a certificate ends is not known"),
        }
    }
}

async fn serve(
    config: &EdgeConfig,
    app: App,
    handle: Handle<std::net::SocketAddr>,
) -> Result<(), EdgeError> {
    let failed = |source| EdgeError::Http {
        address: config.http_listen,
        source,
    };
    let service = router(app).into_make_service();
    match &config.tls {
        Some((cert, key)) => {
            let tls = RustlsConfig::from_pem_file(cert, key)
                .await
                .map_err(failed)?;
            axum_server::bind_rustls(config.http_listen, tls)
                .handle(handle)
                .serve(service)
                .await
                .map_err(failed)
        }
        None => axum_server::bind(config.http_listen)
            .handle(handle)
            .serve(service)
            .await
            .map_err(failed),
    }
}
