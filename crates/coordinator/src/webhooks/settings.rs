//! The file of webhooks.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::EventKind;

/// The shortest secret, in characters: as of API keys.
const SECRET_CHARS_MIN: usize = 32;

/// The most receivers: each has tasks and queues of its own.
const WEBHOOKS_MAX: usize = 16;

/// One receiver.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where events are posted, `http://` or `https://`.
    pub url: String,
    /// Signs what is posted; at least 32 characters. Never logged.
    pub secret: String,
    /// Whose meetings; everybody's when absent.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Which events; all when absent.
    #[serde(default)]
    pub events: Option<Vec<EventKind>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    webhook: Vec<Webhook>,
}

/// Why a file of webhooks is of no use.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says what it may not.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// No client can be made.
    #[error("no HTTP client for webhooks: {0}")]
    Client(#[from] reqwest::Error),
}

/// Reads a file of `[[webhook]]` tables.
///
/// # Errors
/// When it cannot be read, is not TOML, or has an unknown key or a wrong value.
pub fn read(path: &Path) -> Result<Vec<Webhook>, WebhookError> {
    let text = std::fs::read_to_string(path).map_err(|source| WebhookError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|reason| WebhookError::File {
        path: path.to_owned(),
        reason,
    })
}

fn parse(text: &str) -> Result<Vec<Webhook>, String> {
    let file: File = toml_edit::de::from_str(text).map_err(|error| error.to_string())?;
    if file.webhook.len() > WEBHOOKS_MAX {
        let found = file.webhook.len();
        return Err(format!("{found} webhooks; allowed: at most {WEBHOOKS_MAX}"));
    }
    for (place, hook) in file.webhook.iter().enumerate() {
        let is_url = reqwest::Url::parse(&hook.url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_url {
            let url = &hook.url;
            return Err(format!(
                "webhook[{place}].url = \"{url}\"; allowed: http:// or https:// URLs"
            ));
        }
        if hook.secret.len() < SECRET_CHARS_MIN {
            return Err(format!(
                "webhook[{place}].secret; allowed: at least {SECRET_CHARS_MIN} characters"
            ));
        }
    }
    Ok(file.webhook)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_file_says_whom_to_tell_what() {
        let hooks = parse(&format!(
            "[[webhook]]\nurl = \"https://a.example/h\"\nsecret = \"{SECRET}\"\n\
             [[webhook]]\nurl = \"http://b.example\"\nsecret = \"{SECRET}\"\ntenant = \"acme\"\n\
             events = [\"meeting.ended\", \"participant.let_in\"]\n"
        ))
        .expect("good");
        assert_eq!(hooks[0].events, None);
        let events = vec![EventKind::MeetingEnded, EventKind::ParticipantLetIn];
        assert_eq!(hooks[1].events, Some(events));
        assert!(
            !format!("{hooks:?}").contains("0123"),
            "secrets are not shown"
        );
    }

    #[test]
    fn faults_are_refused() {
        for (url, secret, more) in [
            ("ftp://a.example", SECRET, ""),
            ("a.example", SECRET, ""),
            ("https://a.example", "short", ""),
            ("https://a.example", SECRET, "events = [\"meeting.began\"]"),
            ("https://a.example", SECRET, "evnets = []"),
        ] {
            let text = format!("[[webhook]]\nurl = \"{url}\"\nsecret = \"{secret}\"\n{more}\n");
            assert!(parse(&text).is_err(), "{text}");
        }
    }
}
