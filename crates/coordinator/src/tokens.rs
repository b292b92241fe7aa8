//! Join tokens (RFC 7519, signed with Ed25519 by RFC 8037), tokens of API keys, and credentials
//! for coturn.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use sluice_types::access::{ApiClaims, JoinClaims};
use sluice_types::ids::{ParticipantId, base32};
use thiserror::Error;

use crate::config::ApiKey;

/// How far clocks may be apart, in seconds.
const LEEWAY_S: u64 = 30;

/// The longest API token that is read, in bytes.
const API_TOKEN_BYTES_MAX: usize = 4_096;

/// Why a token cannot be made.
#[derive(Debug, Error)]
pub enum SigningError {
    /// The kept key is of no use.
    #[error("the signing key of the store is of no use")]
    Key,
    /// The token cannot be written.
    #[error("a token cannot be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// A new key, as PKCS #8. Empty when the system has no randomness, which the reader then refuses.
#[must_use]
pub fn new_signing_key() -> Vec<u8> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .unwrap_or_default()
}

/// A key's id and its public half as a JWK (RFC 8037).
fn public(pkcs8: &[u8]) -> Result<(String, serde_json::Value), SigningError> {
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SigningError::Key)?;
    let public = pair.public_key().as_ref();
    let digest = ring::digest::digest(&ring::digest::SHA256, public);
    let id = base32(&digest.as_ref()[..10]);
    let jwk = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": id,
        "x": URL_SAFE_NO_PAD.encode(public),
    });
    Ok((id, jwk))
}

/// The `kid` of tokens that this key signs.
///
/// # Errors
/// When the key is of no use.
pub fn key_id(pkcs8: &[u8]) -> Result<String, SigningError> {
    public(pkcs8).map(|(id, _)| id)
}

/// Signs join tokens.
pub struct Signer {
    key: EncodingKey,
    id: String,
    jwks: String,
}

impl Signer {
    /// Signs with the first key; tokens of the one before it, if there is one, are good too.
    ///
    /// # Errors
    /// When a key is of no use.
    pub fn new(pkcs8: &[u8], before: Option<&[u8]>) -> Result<Self, SigningError> {
        let (id, jwk) = public(pkcs8)?;
        let mut keys = vec![jwk];
        if let Some(before) = before {
            keys.push(public(before)?.1);
        }
        Ok(Self {
            key: EncodingKey::from_ed_der(pkcs8),
            id,
            jwks: json!({ "keys": keys }).to_string(),
        })
    }

    /// The public keys as a JWK set.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Signs a join token.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign(&self, claims: &JoinClaims) -> Result<String, SigningError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}

/// Why an API token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiTokenError {
    /// Not a JWT, another algorithm, an unknown key, or a wrong signature.
    #[error(
        "the token is not signed with the secret of one of the API keys (HS256, `iss` the key)"
    )]
    NotSigned,
    /// It has ended, or not begun.
    #[error("the token has expired, or is not valid yet")]
    Expired,
}

/// The claims of an API token that is good now, and the key that signed it.
///
/// # Errors
/// See [`ApiTokenError`].
pub fn verify_api_token<'a>(
    token: &str,
    keys: &'a [ApiKey],
) -> Result<(ApiClaims, &'a ApiKey), ApiTokenError> {
    if token.len() > API_TOKEN_BYTES_MAX {
        return Err(ApiTokenError::NotSigned);
    }
    // The claims name the key; nothing of them is believed before the signature is verified.
    let named = token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|bytes| serde_json::from_slice::<ApiClaims>(&bytes).ok())
        .ok_or(ApiTokenError::NotSigned)?;
    let key = keys
        .iter()
        .find(|key| key.id == named.iss)
        .ok_or(ApiTokenError::NotSigned)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss"]);
    validation.validate_aud = false;
    let secret = DecodingKey::from_secret(key.secret.as_bytes());
    jsonwebtoken::decode::<ApiClaims>(token, &secret, &validation)
        .map(|data| (data.claims, key))
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature
            | jsonwebtoken::errors::ErrorKind::ImmatureSignature => ApiTokenError::Expired,
            _ => ApiTokenError::NotSigned,
        })
}

/// coturn's time-limited credential (`use-auth-secret`): the expiry and the participant as user
/// name, and its HMAC-SHA1 as password.
#[must_use]
pub fn turn_credential(
    secret: &str,
    participant: &ParticipantId,
    expires_at_s: u64,
) -> (String, String) {
    let username = format!("{expires_at_s}:{participant}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let tag = ring::hmac::sign(&key, username.as_bytes());
    (username, STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use sluice_types::access::{JOIN_AUDIENCE, Role};
    use sluice_types::ids::MeetingId;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn keys() -> Vec<ApiKey> {
        vec![format!("acme:{SECRET}").parse().expect("a key")]
    }

    fn token(algorithm: Algorithm, iss: &str, exp: u64, secret: &str) -> String {
        let claims = json!({ "iss": iss, "exp": exp });
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("signed")
    }

    #[test]
    fn only_tokens_of_known_keys_are_believed() {
        let keys = keys();
        let far = 4_000_000_000;
        let good = token(Algorithm::HS256, "acme", far, SECRET);
        let (claims, _) = verify_api_token(&good, &keys).expect("good");
        assert_eq!(claims.grants, None);
        for (bad, error) in [
            (
                token(Algorithm::HS256, "acme", 1_000, SECRET),
                ApiTokenError::Expired,
            ),
            (
                token(Algorithm::HS256, "acme", far, "another-secret"),
                ApiTokenError::NotSigned,
            ),
            (
                token(Algorithm::HS256, "other", far, SECRET),
                ApiTokenError::NotSigned,
            ),
            (
                token(Algorithm::HS512, "acme", far, SECRET),
                ApiTokenError::NotSigned,
            ),
            ("a.b.c".to_owned(), ApiTokenError::NotSigned),
            ("x".repeat(5_000), ApiTokenError::NotSigned),
        ] {
            assert_eq!(
                verify_api_token(&bad, &keys).expect_err("bad"),
                error,
                "{bad}"
            );
        }
        let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
        parts[0] = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        parts[2] = String::new();
        assert_eq!(
            verify_api_token(&parts.join("."), &keys).expect_err("bad"),
            ApiTokenError::NotSigned
        );
    }

    #[test]
    fn join_tokens_verify_with_the_published_key() {
        let (old, new) = (new_signing_key(), new_signing_key());
        let signer = Signer::new(&old, None).expect("a key");
        let rotated = Signer::new(&new, Some(&old)).expect("two keys");
        let claims = JoinClaims {
            iss: "mesh".to_owned(),
            aud: JOIN_AUDIENCE.to_owned(),
            iat: 0,
            exp: 4_000_000_000,
            jti: "one".to_owned(),
            key: None,
            meeting_id: MeetingId::from_random([1; 10]),
            participant_id: ParticipantId::from_random([2; 10]),
            name: "Ada".to_owned(),
            role: Role::Host,
            grants: Role::Host.grants(),
            edge: "paris-1".parse().expect("an edge"),
            trace: None,
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[JOIN_AUDIENCE]);
        // Tokens from before a rotation and after it verify with what is published after it.
        for (signer, published) in [
            (&signer, &signer),
            (&signer, &rotated),
            (&rotated, &rotated),
        ] {
            let token = signer.sign(&claims).expect("signed");
            let set: jsonwebtoken::jwk::JwkSet =
                serde_json::from_str(published.jwks()).expect("a set");
            let kid = jsonwebtoken::decode_header(&token).expect("a header").kid;
            let key = set.find(&kid.expect("named")).expect("published");
            let key = DecodingKey::from_jwk(key).expect("a key");
            let read = jsonwebtoken::decode::<JoinClaims>(&token, &key, &validation).expect("good");
            assert_eq!(read.claims, claims);
        }
        assert_eq!(key_id(&old).expect("an id"), signer.id);
        assert!(Signer::new(b"nonsense", None).is_err());
    }

    #[test]
    fn turn_credentials_are_coturns() {
        // openssl: echo -n 1700000000:pt_0000000000000000 | openssl dgst -sha1 -hmac s3cret -binary | base64
        let (username, password) = turn_credential(
            "s3cret",
            &ParticipantId::from_random([0; 10]),
            1_700_000_000,
        );
        assert_eq!(username, "1700000000:pt_0000000000000000");
        assert_eq!(password, "L/V3CLtfhAgEXKF6LST89q0BEdo=");
    }
}
