//! API keys, as the file and the environment give them.

use std::str::FromStr;

use serde::Deserialize;
use sluice_types::ids::ApiKeyId;

/// An API key: who may sign tokens for which tenant.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its public name, the `iss` of tokens.
    pub id: ApiKeyId,
    /// Its secret, at least 32 characters. Never logged.
    pub secret: String,
    /// Whose meetings it is for; the key's own name when absent.
    #[serde(default)]
    pub tenant: Option<String>,
    /// It may also look at the whole mesh.
    #[serde(default)]
    pub ops: bool,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromStr for ApiKey {
    type Err = String;

    /// `ID:SECRET[:TENANT[:ops]]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let id = parts.next().unwrap_or_default();
        let secret = parts.next().ok_or("allowed: ID:SECRET[:TENANT[:ops]]")?;
        Ok(Self {
            id: id.parse().map_err(|error| format!("{error}"))?,
            secret: secret.to_owned(),
            tenant: parts
                .next()
                .filter(|tenant| !tenant.is_empty())
                .map(str::to_owned),
            ops: parts.next() == Some("ops"),
        })
    }
}
