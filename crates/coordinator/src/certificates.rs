//! Certificates of this process: when they end, and those that take their place while it runs.

use axum_server::tls_rustls::RustlsConfig;
use sluice_meshnet::Renewal;
use sluice_meshnet::expiry::first_end_s;
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::reload::{FileWatch, keep_renewed};

use crate::config::CoordinatorConfig;
use crate::run::CoordinatorError;

/// The certificate of the public name, when there is one.
///
/// # Errors
/// When its files cannot be used.
pub(crate) async fn public(
    config: &CoordinatorConfig,
) -> Result<Option<RustlsConfig>, CoordinatorError> {
    let Some((cert, key)) = &config.tls else {
        return Ok(None);
    };
    let tls = RustlsConfig::from_pem_file(cert, key).await;
    tls.map(Some).map_err(|source| CoordinatorError::Http {
        address: config.http_listen,
        source,
    })
}

/// Takes new certificates into use as they are put in place, for as long as the process runs.
pub(crate) async fn watch(
    config: CoordinatorConfig,
    renewals: Vec<Renewal>,
    tls: Option<RustlsConfig>,
) {
    for (of, result) in [("mesh", "refused"), ("public", "refused")] {
        // Rates see a step only in a series that was there before.
        metrics::counter!("sluice_coordinator_certificate_reloads_total", "of" => of, "result" => result)
            .absolute(0);
    }
    let files = CredentialFiles::in_dir(&config.mesh_dir);
    let mesh = keep_renewed(files, renewals, |renewed| {
        told(&config, "mesh", renewed.map_err(|error| error.to_string()));
    });
    let public = async {
        match (&config.tls, &tls) {
            (Some((cert, key)), Some(tls)) => {
                let mut watch = FileWatch::new(vec![cert.clone(), key.clone()]);
                loop {
                    watch.changed().await;
                    let reloaded = tls.reload_from_pem_file(cert, key).await;
                    told(
                        &config,
                        "public",
                        reloaded.map_err(|error| error.to_string()),
                    );
                }
            }
            _ => std::future::pending().await,
        }
    };
    // Neither ends.
    tokio::join!(mesh, public);
}

fn told(config: &CoordinatorConfig, of: &'static str, reloaded: Result<(), String>) {
    let result = match reloaded {
        Ok(()) => {
            tracing::info!(of, "certificates were read anew");
            export(config);
            "used"
        }
        Err(error) => {
            tracing::warn!(
                of,
                error,
                "new certificates cannot be used; those before stay"
            );
            "refused"
        }
    };
    metrics::counter!("sluice_coordinator_certificate_reloads_total", "of" => of, "result" => result)
        .increment(1);
}

/// Exports when the certificates end.
pub(crate) fn export(config: &CoordinatorConfig) {
    let mesh = CredentialFiles::in_dir(&config.mesh_dir);
    let public = config.tls.as_ref().map(|(cert, _)| ("public", cert));
    for (of, path) in [("mesh", &mesh.cert), ("mesh_ca", &mesh.ca)]
        .into_iter()
        .chain(public)
    {
        match first_end_s(path) {
            Ok(end) => metrics::gauge!(
                "sluice_coordinator_certificate_expiry_timestamp_seconds", "of" => of
            )
            .set(end as f64),
            // Those who use the file say what is wrong with it.
            Err(error) => tracing::warn!(%error, of, "when a certificate ends is not known"),
        }
    }
}
