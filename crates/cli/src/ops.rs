//! Asking a running coordinator, as those who run the mesh.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sluice_types::rest::Problem;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long its token lasts, in seconds.
const TOKEN_S: u64 = 60;

/// Which coordinator, and as whom.
#[derive(Debug, Args)]
pub(crate) struct OpsArgs {
    /// The coordinator
    #[arg(long, env = "SLUICE_URL", default_value = "http://127.0.0.1:7400")]
    url: String,
    /// API key with `ops` as KEY:SECRET
    #[arg(
        long,
        env = "SLUICE_API_KEY",
        hide_env_values = true,
        default_value = "devkey:devsecret-devsecret-devsecret-0001"
    )]
    api_key: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct OpsError {
    /// Where, and why.
    text: String,
    /// What the coordinator said, when it was it that refused.
    pub(crate) problem: Option<Problem>,
}

impl std::fmt::Display for OpsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl OpsError {
    fn new(text: impl std::fmt::Display) -> Self {
        Self {
            text: text.to_string(),
            problem: None,
        }
    }
}

impl OpsArgs {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When the coordinator cannot be asked, refuses, or answers something else.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, OpsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OpsError::new)?;
        runtime.block_on(self.request(method, path, body))
    }

    fn token(&self) -> Result<String, OpsError> {
        let (key, secret) = self
            .api_key
            .split_once(':')
            .ok_or_else(|| OpsError::new("`--api-key` is malformed; allowed: KEY:SECRET"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_err(OpsError::new)?.as_secs();
        let claims = json!({ "iss": key, "exp": now + TOKEN_S });
        let secret = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &secret).map_err(OpsError::new)
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, OpsError> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let failed = |error: &dyn std::fmt::Display| OpsError::new(format!("{url}: {error}"));
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(|error| failed(&error))?;
        let mut request = client.request(method, &url).bearer_auth(self.token()?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| failed(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| failed(&error));
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let reason = problem.as_ref().map_or_else(
            || status.to_string(),
            |problem| problem.detail.clone().unwrap_or(problem.title.clone()),
        );
        Err(OpsError {
            problem,
            ..failed(&reason)
        })
    }
}
