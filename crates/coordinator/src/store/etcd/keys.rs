//! The names of keys. Those of a kind share a prefix, and none is a prefix of another's kind.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::revocation::Revoked;

use super::super::StoredMeeting;

pub(super) struct Keys {
    prefix: String,
}

/// What a key stands for, where others may have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Leader,
    Meeting(MeetingId),
    Plan(MeetingId),
    Topology,
    SigningKey,
    Revocation,
    Waiting,
    Other,
}

impl Keys {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn all(&self) -> &str {
        &self.prefix
    }

    fn key(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("{}{rest}", self.prefix)
    }

    pub(super) fn leader(&self) -> String {
        self.key(format_args!("leader"))
    }

    pub(super) fn term(&self) -> String {
        self.key(format_args!("term"))
    }

    pub(super) fn meeting(&self, id: &MeetingId) -> String {
        self.key(format_args!("meetings/{id}"))
    }

    /// All of a tenant's meetings by their age, the newest first. Names of tenants may have slashes.
    pub(super) fn of_tenant(&self, tenant: &str) -> String {
        self.key(format_args!(
            "by-tenant/{}/",
            URL_SAFE_NO_PAD.encode(tenant)
        ))
    }

    pub(super) fn by_age(&self, tenant: &str, created_at_ms: u64, id: &str) -> String {
        let age = u64::MAX - created_at_ms;
        format!("{}{age:016x}/{id}", self.of_tenant(tenant))
    }

    pub(super) fn place(&self, meeting: &StoredMeeting) -> String {
        self.by_age(&meeting.tenant, meeting.created_at_ms, meeting.id.as_str())
    }

    /// A tenant's meetings that are not ended.
    pub(super) fn open_of(&self, tenant: &str) -> String {
        self.key(format_args!("open/{}/", URL_SAFE_NO_PAD.encode(tenant)))
    }

    pub(super) fn open(&self, meeting: &StoredMeeting) -> String {
        format!("{}{}", self.open_of(&meeting.tenant), meeting.id)
    }

    pub(super) fn signing_key(&self) -> String {
        self.key(format_args!("signing-keys/now"))
    }

    pub(super) fn signing_key_before(&self) -> String {
        self.key(format_args!("signing-keys/before"))
    }

    pub(super) fn epoch(&self, room: &MeetingId) -> String {
        self.key(format_args!("epochs/{room}"))
    }

    pub(super) fn plans(&self) -> String {
        self.key(format_args!("plans/"))
    }

    pub(super) fn plan(&self, room: &MeetingId) -> String {
        format!("{}{room}", self.plans())
    }

    pub(super) fn topologies(&self) -> String {
        self.key(format_args!("topologies/"))
    }

    pub(super) fn topology(&self, version: u64) -> String {
        format!("{}{version:020}", self.topologies())
    }

    pub(super) fn revocations(&self) -> String {
        self.key(format_args!("revocations/"))
    }

    pub(super) fn revocation(&self, what: &Revoked) -> String {
        format!("{}{}", self.revocations(), what.name())
    }

    pub(super) fn all_waiting(&self) -> String {
        self.key(format_args!("waiting/"))
    }

    pub(super) fn waiting(&self, room: &MeetingId, participant: &ParticipantId) -> String {
        self.key(format_args!("waiting/{room}/{participant}"))
    }

    /// The places of a room that coordinators have reserved, one key each.
    pub(super) fn places(&self, room: &MeetingId) -> String {
        self.key(format_args!("places/{room}/"))
    }

    pub(super) fn kind(&self, key: &[u8]) -> Kind {
        let rest = std::str::from_utf8(key)
            .ok()
            .and_then(|key| key.strip_prefix(&self.prefix));
        let (kind, rest) = rest
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .unwrap_or_default();
        let known = match kind {
            "leader" => Some(Kind::Leader),
            "meetings" => rest.parse().ok().map(Kind::Meeting),
            "plans" => rest.parse().ok().map(Kind::Plan),
            "topologies" => Some(Kind::Topology),
            "signing-keys" => Some(Kind::SigningKey),
            "revocations" => Some(Kind::Revocation),
            "waiting" => Some(Kind::Waiting),
            _ => None,
        };
        known.unwrap_or(Kind::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_meetings_come_first_and_tenants_do_not_mix() {
        let keys = Keys::new("sluice/".to_owned());
        assert!(keys.by_age("a", 2, "z") < keys.by_age("a", 1, "a"));
        assert!(!keys.of_tenant("a/b").starts_with(&keys.of_tenant("a")));
        assert!(!keys.of_tenant("ab").starts_with(&keys.of_tenant("a")));
    }

    #[test]
    fn keys_are_told_apart() {
        let keys = Keys::new("sluice/".to_owned());
        let room = MeetingId::from_random([1; 10]);
        for (key, kind) in [
            (keys.leader(), Kind::Leader),
            (keys.meeting(&room), Kind::Meeting(room.clone())),
            (keys.plan(&room), Kind::Plan(room.clone())),
            (keys.topology(7), Kind::Topology),
            (keys.signing_key(), Kind::SigningKey),
            (keys.signing_key_before(), Kind::SigningKey),
            (
                keys.revocation(&Revoked::Meeting(room.clone())),
                Kind::Revocation,
            ),
            (
                keys.waiting(&room, &ParticipantId::from_random([2; 10])),
                Kind::Waiting,
            ),
            (keys.term(), Kind::Other),
            (keys.epoch(&room), Kind::Other),
            (keys.places(&room), Kind::Other),
            ("other/leader".to_owned(), Kind::Other),
        ] {
            assert_eq!(keys.kind(key.as_bytes()), kind, "{key}");
        }
    }
}
