//! Asking a running mesh's coordinator.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::json;
use sluice_types::rest::Problem;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long its token lasts, in seconds.
const TOKEN_S: u64 = 60;

/// Which coordinator, and by what right.
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

impl OpsArgs {
    /// Makes a request without a body; gives the answer's.
    ///
    /// # Errors
    /// What failed, or what the coordinator objects to.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Result<Vec<u8>, String> {
        let (key, secret) = self
            .api_key
            .split_once(':')
            .ok_or("`--api-key` is malformed; allowed: KEY:SECRET")?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|error| error.to_string())?;
        let claims = json!({ "iss": key, "exp": now.as_secs() + TOKEN_S });
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &secret)
            .map_err(|error| error.to_string())?;
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let failed = |error: reqwest::Error| format!("{url}: {error}");
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(failed)?;
        let response = client
            .request(method, &url)
            .bearer_auth(token)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let reason = problem.map_or_else(
            || status.to_string(),
            |problem| problem.detail.unwrap_or(problem.title),
        );
        Err(format!("{url}: {reason}"))
    }
}
