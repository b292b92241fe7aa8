//! Certificates of this process: when they end, and those that take their place while it runs.

use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use sluice_meshnet::Renewal;
use sluice_meshnet::expiry::first_end_s;
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::reload::{FileWatch, keep_renewed};

use crate::config::EdgeConfig;
use crate::run::EdgeError;

/// The certificate of the public name, when there is one.
///
/// # Errors
/// When its files cannot be used.
pub(crate) async fn public(config: &EdgeConfig) -> Result<Option<RustlsConfig>, EdgeError> {
    let Some((cert, key)) = &config.tls else {
        return Ok(None);
    };
    let tls = RustlsConfig::from_pem_file(cert, key).await;
    tls.map(Some).map_err(|source| EdgeError::Http {
        address: config.http_listen,
        source,
    })
}

/// Takes new certificates into use as they are put in place, for as long as the process runs.
pub(crate) async fn watch(
    config: Arc<EdgeConfig>,
    renewals: Vec<Renewal>,
    tls: Option<RustlsConfig>,
) {
    for (of, result) in [("mesh", "refused"), ("public", "refused")] {
        // Rates see a step only in a series that was there before.
        metrics::counter!("sluice_edge_certificate_reloads_total", "of" => of, "result" => result)
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

fn told(config: &EdgeConfig, of: &'static str, reloaded: Result<(), String>) {
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
    metrics::counter!("sluice_edge_certificate_reloads_total", "of" => of, "result" => result)
        .increment(1);
}

/// Exports when the certificates end.
pub(crate) fn export(config: &EdgeConfig) {
    let mesh = CredentialFiles::in_dir(&config.mesh_dir);
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use axum::Router;
    use axum::routing::get;
    use reqwest::tls::TlsInfo;
    use sluice_meshnet::{Identity, MeshCa};

    use super::*;
    use crate::config::EdgeSettings;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn issue(dir: &Path) -> CredentialFiles {
        let ca = MeshCa::generate("test").expect("a CA");
        let identity = Identity::Edge("paris-1".parse().expect("an edge"));
        ca.issue(&identity, Duration::from_secs(3_600))
            .and_then(|issued| issued.save(dir))
            .expect("a certificate");
        CredentialFiles::in_dir(dir)
    }

    fn client() -> reqwest::Client {
        let client = reqwest::Client::builder()
            .no_proxy()
            .danger_accept_invalid_certs(true)
            .tls_info(true);
        client.build().expect("a client")
    }

    /// The certificate of the connection over which `client` asks.
    async fn shown(client: &reqwest::Client, url: &str) -> Vec<u8> {
        let answer = client.get(url).send().await.expect("an answer");
        let info = answer.extensions().get::<TlsInfo>().expect("TLS");
        let certificate = info.peer_certificate().expect("a certificate").to_vec();
        assert_eq!(answer.text().await.expect("a body"), "here");
        certificate
    }

    #[tokio::test]
    async fn a_new_certificate_is_shown_to_newcomers_and_nobody_is_cut_off() {
        let (dir, fresh) = (tempfile::tempdir(), tempfile::tempdir());
        let (dir, fresh) = (dir.expect("a directory"), fresh.expect("a directory"));
        let files = issue(dir.path());
        let settings = EdgeSettings {
            edge: Some("paris-1".parse().expect("an edge")),
            region: Some("paris".parse().expect("a region")),
            coordinator: Some(vec!["127.0.0.1:1".to_owned()]),
            mesh_dir: Some(dir.path().to_owned()),
            tls_cert: Some(files.cert.clone()),
            tls_key: Some(files.key.clone()),
            media_listen: Some([127, 0, 0, 1].into()),
            backbone_endpoint: Some("127.0.0.1:1".to_owned()),
            sfu_endpoint: Some("https://paris-1.example".to_owned()),
            ..EdgeSettings::default()
        };
        let config = Arc::new(settings.resolve().expect("good settings"));
        let tls = public(&config).await.expect("good files").expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("nonblocking");
        let url = format!("https://{}/", listener.local_addr().expect("bound"));
        let app = Router::new().route("/", get(|| async { "here" }));
        let server = axum_server::from_tcp_rustls(listener, tls.clone()).expect("a server");
        let serving = tokio::spawn(server.serve(app.into_make_service()));
        let watching = tokio::spawn(watch(config, Vec::new(), Some(tls)));

        let standing = client();
        let before = shown(&standing, &url).await;
        let other = issue(fresh.path());
        std::fs::copy(&other.key, &files.key).expect("copied");
        std::fs::copy(&other.cert, &files.cert).expect("copied");
        let deadline = Instant::now() + PATIENCE;
        while shown(&client(), &url).await == before {
            assert!(Instant::now() < deadline, "the new one is never shown");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(shown(&standing, &url).await, before, "it was not cut off");
        watching.abort();
        serving.abort();
    }
}
