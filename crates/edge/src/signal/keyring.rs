//! The public keys of join tokens, and the verification of tokens with them. Keys come from the
//! coordinator and stay while it is down; no token is ever asked about.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sluice_types::access::{JOIN_AUDIENCE, JOIN_TOKEN_BYTES_MAX, JoinClaims};
use sluice_types::revocation::Revocation;
use thiserror::Error;

/// How far clocks of edge and coordinator may be apart, in seconds.
const LEEWAY_S: u64 = 5;

/// Why a token admits nobody. Which of these it was is for the log and the caller alike: it tells
/// nothing about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The request carries none.
    #[error("no join token: send `Authorization: Bearer …` or the subprotocol `sluice.token.…`")]
    Missing,
    /// It is too long to be one.
    #[error("a join token of more than {JOIN_TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// No keys have come from the coordinator yet.
    #[error("this edge does not know the mesh's keys yet")]
    NoKeys,
    /// Not a JWT, another algorithm, an unknown key, or a wrong signature.
    #[error("the join token is not signed by this mesh")]
    NotSigned,
    /// It has ended.
    #[error("the join token has expired: join again")]
    Expired,
    /// It is for another mesh or another purpose.
    #[error("the join token is not for this mesh's edges")]
    Foreign,
    /// It was taken back.
    #[error("the join token was revoked")]
    Revoked,
    /// It is for another meeting.
    #[error("the join token is for another meeting")]
    OtherMeeting,
}

impl TokenError {
    /// The HTTP status that says so: only an edge that knows no keys may yet let the bearer in.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NoKeys => 503,
            _ => 401,
        }
    }

    /// The kind of problem.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NoKeys => "not-registered",
            Self::Revoked => "token-revoked",
            _ => "unauthorized",
        }
    }
}

#[derive(Default)]
struct Keys {
    mesh: String,
    keys: Vec<(String, DecodingKey)>,
    revocations: Vec<Revocation>,
}

/// See the module. Clones share the keys.
#[derive(Clone, Default)]
pub struct Keyring(Arc<RwLock<Keys>>);

impl Keyring {
    /// Replaces the keys by those of a JWK set (RFC 7517), of which only Ed25519 keys with an id
    /// count (RFC 8037). A set that cannot be read changes nothing.
    pub fn replace(&self, mesh: &str, jwks: &str) {
        let Ok(set) = serde_json::from_str::<JwkSet>(jwks) else {
            tracing::error!("the coordinator sent keys that cannot be read; the old ones stay");
            return;
        };
        let keys = set
            .keys
            .iter()
            .filter_map(|jwk| {
                let id = jwk.common.key_id.clone()?;
                Some((id, DecodingKey::from_jwk(jwk).ok()?))
            })
            .collect();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.mesh = mesh.to_owned();
        known.keys = keys;
    }

    /// From now on tokens that these take back are refused, and no others.
    pub fn revoke(&self, revocations: Vec<Revocation>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.revocations = revocations;
    }

    /// As [`Self::replace`], for the same mesh.
    pub fn replace_keys(&self, jwks: &str) {
        let mesh = self.read().mesh.clone();
        self.replace(&mesh, jwks);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether tokens can be verified.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.read().keys.is_empty()
    }

    /// The claims of a token that is good now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<JoinClaims, TokenError> {
        if token.len() > JOIN_TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let keys = self.read();
        if keys.keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::NotSigned)?;
        let id = header.kid.ok_or(TokenError::NotSigned)?;
        let (_, key) = keys
            .keys
            .iter()
            .find(|(known, _)| *known == id)
            .ok_or(TokenError::NotSigned)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_S;
        validation.set_audience(&[JOIN_AUDIENCE]);
        validation.set_issuer(&[&keys.mesh]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        let claims = jsonwebtoken::decode::<JoinClaims>(token, key, &validation)
            .map(|data| data.claims)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
                jsonwebtoken::errors::ErrorKind::InvalidAudience
                | jsonwebtoken::errors::ErrorKind::InvalidIssuer => TokenError::Foreign,
                _ => TokenError::NotSigned,
            })?;
        if keys.revocations.iter().any(|one| one.refuses(&claims)) {
            return Err(TokenError::Revoked);
        }
        Ok(claims)
    }
}
