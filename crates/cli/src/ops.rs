//! Asking a running coordinator, as those who run the mesh.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sluice_types::rest::Problem;
use sluice_types::revocation::{Revocation, Revoked};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long its token lasts, in seconds.
const TOKEN_S: u64 = 60;

/// A token of `KEY:SECRET` that is good for so many seconds.
///
/// # Errors
/// When that is no key, or the clock is before 1970.
pub(crate) fn api_token(api_key: &str, lasts_s: u64) -> Result<String, String> {
    let (key, secret) = api_key
        .split_once(':')
        .ok_or("`--api-key` is malformed; allowed: KEY:SECRET")?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|error| error.to_string())?;
    let claims = json!({ "iss": key, "exp": now.as_secs() + lasts_s });
    let secret = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &secret).map_err(|error| error.to_string())
}

/// Has the coordinator take something back, and says what it did.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(crate) fn take_back(ops: &OpsArgs, what: &Revoked, until_s: Option<u64>) -> Result<(), String> {
    let body = json!({ "what": what, "until_s": until_s });
    let asked = ops.ask::<Revocation>(Method::POST, "/v1/ops/revocations", Some(&body));
    let revocation = asked.map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "revoked {}", revocation.what.name()).map_err(|error| error.to_string())
}

/// Has the coordinator give something back, and says what it did.
///
/// # Errors
/// When the coordinator cannot be asked or refuses, as it does when that is not revoked.
pub(crate) fn give_back(ops: &OpsArgs, what: &Revoked) -> Result<(), String> {
    let body = json!({ "what": what });
    let asked = ops.ask::<Revocation>(Method::DELETE, "/v1/ops/revocations", Some(&body));
    let revocation = asked.map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "restored {}", revocation.what.name()).map_err(|error| error.to_string())
}

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
    pub(crate) problem: Option<Box<Problem>>,
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
        api_token(&self.api_key, TOKEN_S).map_err(OpsError::new)
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
            problem: problem.map(Box::new),
            ..failed(&reason)
        })
    }
}

/// Shows an answer, as JSON or as `show` does. The exit code is 0 when there is one, else 1.
pub(crate) fn show<T: Serialize>(
    asked: Result<T, OpsError>,
    as_json: bool,
    show: impl FnOnce(&mut dyn Write, &T) -> io::Result<()>,
) -> ExitCode {
    let result = asked.map_err(|error| error.to_string());
    let shown = result.and_then(|answer| {
        let mut out = io::stdout().lock();
        let written = if as_json {
            serde_json::to_string_pretty(&answer)
                .map_err(io::Error::other)
                .and_then(|text| writeln!(out, "{text}"))
        } else {
            show(&mut out, &answer)
        };
        match written {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
            _ => Ok(()),
        }
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last place left to complain to.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
