//! Taking back certificates, tokens and API keys, and giving them back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_meshnet::Fingerprint;
use sluice_types::revocation::{Revocation, Revoked};

use super::auth::Caller;
use super::body::Body;
use super::ops::operator;
use super::problem::{Problem, field};
use crate::revocations::{self, RevokeError};
use crate::state::Shared;

/// The longest id of a token, in characters.
const TOKEN_CHARS_MAX: usize = 100;

/// `POST /v1/ops/revocations`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    what: Revoked,
    /// When a certificate ends by itself, in seconds since 1970: until then it is remembered.
    #[serde(default)]
    until_s: Option<u64>,
}

/// Takes something back, everywhere and at once.
pub(super) async fn revoke(
    State(shared): State<Shared>,
    caller: Caller,
    Body(wanted): Body<Revoke>,
) -> Result<(StatusCode, Json<Revocation>), Problem> {
    let by = caller.key.clone();
    operator(caller)?;
    let what = match wanted.what {
        Revoked::Certificate(text) => {
            let fingerprint: Fingerprint = text.parse().map_err(|_| {
                let allowed =
                    "64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints";
                Problem::fields(vec![field("what.certificate", &text, allowed)])
            })?;
            Revoked::Certificate(fingerprint.to_string())
        }
        Revoked::Token(id) if id.is_empty() || id.chars().count() > TOKEN_CHARS_MAX => {
            let allowed = "the `jti` of a join token";
            return Err(Problem::fields(vec![field("what.token", &id, allowed)]));
        }
        Revoked::ApiKey(key) if key == by => {
            let detail = "a key does not take itself back: use another key with ops";
            return Err(Problem::conflict("own-key", detail));
        }
        what => what,
    };
    let name = what.name();
    let revoking = shared.clone();
    let revoked =
        tokio::task::spawn_blocking(move || revocations::revoke(&revoking, what, wanted.until_s));
    let revoked = revoked.await.map_err(|error| Problem::internal(&error))?;
    let revocation = revoked.map_err(|error| match error {
        RevokeError::Store(error) => Problem::from(error),
        full @ RevokeError::TooMany => Problem::conflict("too-many-revocations", full.to_string()),
    })?;
    tracing::warn!(%by, what = name, "taken back");
    Ok((StatusCode::CREATED, Json(revocation)))
}

/// `DELETE /v1/ops/revocations`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lift {
    what: Revoked,
}

/// Gives something back that was taken by mistake, everywhere and at once. Whoever was removed comes
/// back by joining anew.
pub(super) async fn lift(
    State(shared): State<Shared>,
    caller: Caller,
    Body(wanted): Body<Lift>,
) -> Result<Json<Revocation>, Problem> {
    let by = caller.key.clone();
    operator(caller)?;
    let lifting = shared.clone();
    let lifted = tokio::task::spawn_blocking(move || revocations::lift(&lifting, &wanted.what));
    let lifted = lifted.await.map_err(|error| Problem::internal(&error))??;
    let revocation = lifted.ok_or_else(|| Problem::not_found("nothing of that name is revoked"))?;
    tracing::warn!(%by, what = revocation.what.name(), "given back");
    Ok(Json(revocation))
}

/// `GET /v1/ops/revocations`: all that hold.
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    operator(caller)?;
    Ok(Json(json!({ "revocations": *shared.revocations.list() })))
}
