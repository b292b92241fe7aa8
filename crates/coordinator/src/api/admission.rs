//! What somebody who is let in is given.

use sluice_types::access::{Grants, JOIN_AUDIENCE, JoinClaims, Role};
use sluice_types::ids::{ApiKeyId, EdgeId, MeetingId, ParticipantId, base32};
use sluice_types::rest::{Admission, EdgeCandidate, IceServer};
use sluice_types::trace::TraceParent;

use super::join::no_edge;
use super::meetings::random;
use super::problem::Problem;
use crate::registry::Registry;
use crate::state::{Shared, wall_ms};
use crate::tokens::turn_credential;

/// Who is let in, and as what.
pub(super) struct Admitted {
    pub(super) participant: ParticipantId,
    pub(super) role: Role,
    pub(super) grants: Grants,
    pub(super) name: String,
    pub(super) key: Option<ApiKeyId>,
    pub(super) trace: Option<TraceParent>,
}

/// What the client needs to enter at the first of these edges, or else at the others.
pub(super) fn answer(
    shared: &Shared,
    id: MeetingId,
    who: Admitted,
    edges: &[EdgeId],
) -> Result<Admission, Problem> {
    let registry = shared.registry();
    let candidate = |edge: &EdgeId| {
        let state = registry.edge(edge)?;
        Some(EdgeCandidate {
            edge: edge.clone(),
            region: state.registration.region.clone(),
            sfu_endpoint: state.registration.sfu_endpoint.clone(),
            signal_endpoint: state.registration.signal_endpoint.clone(),
        })
    };
    let mut candidates = edges.iter().filter_map(candidate);
    let chosen = candidates.next().ok_or_else(no_edge)?;
    let candidates = candidates.collect();
    let settings = registry.topology().coordinator();
    let now_s = wall_ms() / 1_000;
    let expires_at = now_s + u64::from(settings.join_token_s());
    let claims = JoinClaims {
        iss: registry.topology().name().to_owned(),
        aud: JOIN_AUDIENCE.to_owned(),
        iat: now_s,
        exp: expires_at,
        jti: base32(&random::<10>()?),
        key: who.key,
        meeting_id: id,
        participant_id: who.participant.clone(),
        name: who.name,
        role: who.role,
        grants: who.grants,
        edge: chosen.edge.clone(),
        trace: who.trace,
    };
    let turn_until = now_s + u64::from(settings.turn_credential_s());
    let ice_servers = ice_servers(shared, &registry, &chosen, &who.participant, turn_until);
    let join_token = shared
        .signer()
        .sign(&claims)
        .map_err(|error| Problem::internal(&error))?;
    Ok(Admission {
        participant_id: who.participant,
        join_token,
        expires_at,
        role: who.role,
        sfu_endpoint: chosen.sfu_endpoint,
        signal_endpoint: chosen.signal_endpoint,
        ice_servers,
        region: chosen.region,
        edge: chosen.edge,
        candidates,
    })
}

fn ice_servers(
    shared: &Shared,
    registry: &Registry,
    chosen: &EdgeCandidate,
    participant: &ParticipantId,
    until: u64,
) -> Vec<IceServer> {
    let turn = registry
        .topology()
        .region(&chosen.region)
        .and_then(|region| region.turn());
    let (stun, relays) = match (&shared.config.turn_override, turn) {
        (Some(at), _) => (
            vec![format!("stun:{at}")],
            vec![
                format!("turn:{at}?transport=udp"),
                format!("turn:{at}?transport=tcp"),
            ],
        ),
        (None, Some(turn)) => (turn.stun_urls(), turn.turn_urls()),
        (None, None) => return Vec::new(),
    };
    let mut servers = vec![IceServer {
        urls: stun,
        username: None,
        credential: None,
    }];
    if let Some(secret) = &shared.config.turn_secret {
        let (username, credential) = turn_credential(secret, participant, until);
        servers.push(IceServer {
            urls: relays,
            username: Some(username),
            credential: Some(credential),
        });
    }
    servers
}
