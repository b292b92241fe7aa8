//! Join tokens, made by hand so that what verifies them is held against something else.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use sluice_types::access::{JOIN_AUDIENCE, JoinClaims, Role};
use sluice_types::ids::{MeetingId, ParticipantId};

use crate::edge::MESH;

/// The id of the one key.
const KEY: &str = "key-1";

/// A coordinator's signing key.
pub(crate) struct Signer(Ed25519KeyPair);

pub(crate) fn meeting(n: u8) -> MeetingId {
    MeetingId::from_random([n; 10])
}

pub(crate) fn participant(n: u8) -> ParticipantId {
    ParticipantId::from_random([n; 10])
}

/// Good claims of participant `n` in meeting 1.
pub(crate) fn claims(n: u8, role: Role) -> JoinClaims {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs();
    JoinClaims {
        iss: MESH.into(),
        aud: JOIN_AUDIENCE.into(),
        iat: now,
        exp: now + 300,
        jti: format!("token-{n}"),
        key: None,
        meeting_id: meeting(1),
        participant_id: participant(n),
        name: format!("P{n}"),
        role,
        grants: role.grants(),
        edge: "paris-1".parse().expect("an edge id"),
        trace: None,
    }
}

fn part(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `header.claims`, the input of a signature (RFC 7515, section 5.1).
fn signing_input(header: &serde_json::Value, claims: &JoinClaims) -> String {
    let claims = serde_json::to_vec(claims).expect("JSON");
    format!("{}.{}", part(header.to_string().as_bytes()), part(&claims))
}

impl Signer {
    pub(crate) fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key"))
    }

    /// The public key as a JWK set (RFC 7517, RFC 8037).
    pub(crate) fn jwks(&self) -> String {
        let key = json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": KEY,
            "x": part(self.0.public_key().as_ref()),
        });
        json!({ "keys": [key] }).to_string()
    }

    fn sign_with(&self, header: &serde_json::Value, claims: &JoinClaims) -> String {
        let input = signing_input(header, claims);
        let signature = self.0.sign(input.as_bytes());
        format!("{input}.{}", part(signature.as_ref()))
    }

    /// A token as the coordinator signs it.
    pub(crate) fn token(&self, claims: &JoinClaims) -> String {
        self.sign_with(&json!({ "typ": "JWT", "alg": "EdDSA", "kid": KEY }), claims)
    }

    /// A good signature under a key that nobody knows.
    pub(crate) fn unknown_key(&self, claims: &JoinClaims) -> String {
        self.sign_with(&json!({ "alg": "EdDSA", "kid": "key-2" }), claims)
    }

    /// The public key taken for an HMAC's secret, as a verifier that believes `alg` would.
    pub(crate) fn confused(&self, claims: &JoinClaims) -> String {
        let input = signing_input(&json!({ "alg": "HS256", "kid": KEY }), claims);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.0.public_key().as_ref());
        let tag = ring::hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", part(tag.as_ref()))
    }
}

/// No signature at all (RFC 7519, section 6).
pub(crate) fn unsigned(claims: &JoinClaims) -> String {
    let header = json!({ "alg": "none", "kid": KEY });
    format!("{}.", signing_input(&header, claims))
}

/// The claims of one token under the signature of another.
pub(crate) fn tampered(token: &str, claims: &JoinClaims) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts[1] = part(&serde_json::to_vec(claims).expect("JSON"));
    parts.join(".")
}
