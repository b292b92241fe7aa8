//! Who calls, and what that allows.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use ring::digest::{SHA256, digest};
use sluice_types::access::UserGrants;
use sluice_types::ids::{ApiKeyId, HostKey, Invite};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::state::Shared;
use crate::store::StoredMeeting;
use crate::tokens::verify_api_token;

/// The header with which a host proves itself outside of a body.
pub(super) const HOST_KEY_HEADER: &str = "x-sluice-host-key";

/// A back end, or a user with a token that one made.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) key: ApiKeyId,
    pub(super) tenant: String,
    pub(super) ops: bool,
    /// What the token is narrowed to.
    pub(super) grants: Option<UserGrants>,
}

impl Caller {
    /// Refuses user tokens where a back end is wanted.
    pub(super) fn back_end(self) -> Result<Self, Problem> {
        match self.grants {
            None => Ok(self),
            Some(_) => Err(Problem::forbidden("a user token may only join its meeting")),
        }
    }
}

/// The caller of a request, if it shows a token at all.
#[derive(Debug, Clone)]
pub(crate) struct MaybeCaller(pub(super) Option<Caller>);

/// What the `Authorization` of a request proves. Done once, before any route: limits depend on it.
pub(super) fn identify(shared: &Shared, headers: &HeaderMap) -> Result<MaybeCaller, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(MaybeCaller(None));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(bearer)
        .ok_or_else(|| Problem::unauthorized("allowed: `Authorization: Bearer …`"))?;
    // WHIP clients show an invite as their bearer token.
    if token.parse::<Invite>().is_ok() {
        return Ok(MaybeCaller(None));
    }
    let (claims, key) = verify_api_token(token, &shared.config.api_keys)
        .map_err(|error| Problem::unauthorized(error.to_string()))?;
    if shared.revocations.has_key(&key.id) {
        return Err(Problem::unauthorized(
            "the API key of the token was revoked",
        ));
    }
    Ok(MaybeCaller(Some(Caller {
        key: key.id.clone(),
        tenant: key.tenant.clone().unwrap_or_else(|| key.id.to_string()),
        ops: key.ops,
        grants: claims.grants,
    })))
}

/// The token of `Bearer …`, whose scheme may be written in any case (RFC 9110).
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Shared> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        let identified = parts.extensions.get::<Result<Self, Problem>>();
        // No route is reached but through the limits, which identify.
        identified.cloned().unwrap_or(Ok(Self(None)))
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let MaybeCaller(caller) = MaybeCaller::from_request_parts(parts, shared).await?;
        caller.ok_or_else(|| {
            Problem::unauthorized("an API token is needed: `Authorization: Bearer …`, a JWT signed (HS256) with an API key's secret, `iss` the key, `exp` the end")
        })
    }
}

/// The digest by which a host key is kept.
pub(super) fn host_key_digest(key: &HostKey) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, key.as_str().as_bytes()).as_ref());
    bytes
}

/// Whether that is the meeting's host key.
pub(super) fn is_host_key(meeting: &StoredMeeting, key: &HostKey) -> bool {
    host_key_digest(key).ct_eq(&meeting.host_key_digest).into()
}

/// Whether that is the invite of the meeting's join link.
pub(super) fn is_invite(meeting: &StoredMeeting, invite: &Invite) -> bool {
    invite
        .as_str()
        .as_bytes()
        .ct_eq(meeting.invite.as_str().as_bytes())
        .into()
}
