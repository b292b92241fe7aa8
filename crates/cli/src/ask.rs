//! What commands ask of a running coordinator, and how they show it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sluice_types::rest::Problem;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long its token lasts, in seconds.
const TOKEN_S: u64 = 60;

/// Whom to ask, as whom, and how to show the answer.
#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    /// The coordinator
    #[arg(long, env = "SLUICE_URL", default_value = "http://127.0.0.1:7400")]
    url: String,
    /// API key with `ops`, or of the meeting's tenant where that is enough, as KEY:SECRET
    #[arg(
        long,
        env = "SLUICE_API_KEY",
        hide_env_values = true,
        default_value = "devkey:devsecret-devsecret-devsecret-0001"
    )]
    api_key: String,
    /// Print what the coordinator answers, as JSON
    #[arg(long)]
    json: bool,
}

impl CoordinatorArgs {
    /// Asks for `path` and shows the answer. The exit code is 0 when that went well, else 1.
    pub(crate) fn show<T: DeserializeOwned + Serialize>(
        &self,
        path: &str,
        show: impl FnOnce(&mut dyn Write, &T) -> io::Result<()>,
    ) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let result = runtime
            .map_err(|error| error.to_string())
            .and_then(|runtime| runtime.block_on(self.get::<T>(path)));
        let shown = result.and_then(|answer| {
            let mut out = io::stdout().lock();
            let written = if self.json {
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

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
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
            .get(&url)
            .bearer_auth(token)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"));
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let reason = problem.map_or_else(
            || status.to_string(),
            |problem| problem.detail.unwrap_or(problem.title),
        );
        Err(format!("{url}: {reason}"))
    }
}
