//! How spans reach the collector: over the HTTP client that everything else uses.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use reqwest::Client;
use tokio::runtime::Handle;

/// How long the collector may take to answer; what it does not take is lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The exporter has a thread of its own, and asks the runtime's for what wants one.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    client: Client,
    runtime: Handle,
}

impl Sending {
    /// Sends from this runtime. Must be called within one.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub(crate) fn new() -> reqwest::Result<Self> {
        Ok(Self {
            client: Client::builder().timeout(TIMEOUT).build()?,
            runtime: Handle::current(),
        })
    }

    async fn send(client: Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let asked = client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(body);
        let answer = asked.send().await?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        // What it says besides is for nobody here, so it is not read.
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Sending {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = Self::send(self.client.clone(), request);
        let answer = self.runtime.spawn(sending).await?;
        let result = match &answer {
            Ok(response) if response.status().is_success() => "taken",
            Ok(_) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("sluice_otlp_requests_total", "result" => result).increment(1);
        if result != "taken" {
            tracing::debug!(result, "spans were lost");
        }
        answer
    }
}
