//! How the authority is asked: over the HTTP client and the roots that everything else uses.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Certificate, Client};

use crate::keeper::AcmeError;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest question or answer, in bytes: a chain of certificates. What is longer is an error.
const BYTES_MAX: usize = 1 << 20;

/// Clones ask over the same connections.
#[derive(Clone)]
pub(crate) struct Asking(Client);

impl Asking {
    /// Believes those of `ca`, or of the system.
    ///
    /// # Errors
    /// When `ca` cannot be used.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, AcmeError> {
        let mut client = Client::builder().https_only(true).timeout(TIMEOUT);
        if let Some(path) = ca {
            let failed = |reason: String| AcmeError::Ca {
                path: path.display().to_string(),
                reason,
            };
            let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
            let roots = Certificate::from_pem_bundle(&pem);
            let roots = roots.map_err(|error| failed(error.to_string()))?;
            if roots.is_empty() {
                return Err(failed("no certificate in PEM".to_owned()));
            }
            client = client.tls_built_in_root_certs(false);
            for root in roots {
                client = client.add_root_certificate(root);
            }
        }
        client.build().map(Self).map_err(AcmeError::Client)
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), BYTES_MAX).await;
        let body = body.map_err(|error| Error::Other(error.into()))?;
        let asked = self
            .0
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(body);
        let failed = |error: reqwest::Error| Error::Other(error.into());
        let mut answer = asked.send().await.map_err(failed)?;
        let mut read = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if read.len() + chunk.len() > BYTES_MAX {
                return Err(Error::Str("an answer of at most 1 MiB"));
            }
            read.extend_from_slice(&chunk);
        }
        let mut head = Response::new(());
        *head.status_mut() = answer.status();
        *head.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(BytesResponse {
            parts: head.into_parts().0,
            body: Box::new(Bytes::from(read)),
        })
    }
}

impl HttpClient for Asking {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}
