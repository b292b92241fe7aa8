//! Rooms that may not be where they are any more: their participants are sent to where they may be.

use sluice_placement::{Preference, rank_within};
use sluice_types::mesh::control::CoordinatorMessage;

use crate::feed::Happening;
use crate::registry::Refused;
use crate::state::Shared;

/// Has an edge send a room's participants elsewhere. Heard again, it changes nothing for the edge.
pub(crate) fn tell(shared: &Shared, refused: &Refused) {
    let (room, edge) = (&refused.room, &refused.edge);
    let reason = refused.reason.to_string();
    let candidates = {
        let registry = shared.registry();
        let topology = registry.topology();
        let home = topology.edge(edge).map(|(region, _)| region.position());
        let preference = Preference {
            position: home,
            ..Preference::default()
        };
        let places = registry.candidates(shared.now(), room);
        let ranked = rank_within(&places, &preference, &refused.residency);
        let most = 1 + topology.coordinator().candidates() as usize;
        let endpoints = ranked.iter().take(most).filter_map(|edge| {
            let state = registry.edge(edge)?;
            Some(state.registration.signal_endpoint.clone())
        });
        endpoints.collect()
    };
    tracing::warn!(meeting = %room, %edge, reason, "a room is where it may not be");
    let text = format!("has to leave {edge}: {reason}");
    shared.feed.tell(Happening::room("vacated", room, text));
    let message = CoordinatorMessage::Vacate {
        room: room.clone(),
        candidates,
        reason,
    };
    shared.tell(edge, message);
}
