//! What each tenant uses: who is in now, and the minutes of the month.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sluice_types::ids::MeetingId;
use sluice_types::units::Bitrate;

/// A room as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occupied {
    pub(crate) room: MeetingId,
    pub(crate) participants: u32,
    /// Those who were sent to an edge and have not come there yet.
    pub(crate) coming: u32,
    pub(crate) bitrate: Bitrate,
}

/// What a tenant has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Now {
    /// Participants, those who are on their way included.
    pub(crate) participants: u32,
    pub(crate) bitrate: Bitrate,
}

/// The minutes of a calendar month (UTC), as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Month {
    /// Its first day.
    month: Date,
    /// Milliseconds that participants spent in meetings, by tenant.
    spent_ms: BTreeMap<String, u64>,
}

fn first_of_month(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date().first_of_month()
}

impl Month {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            month: first_of_month(now),
            spent_ms: BTreeMap::new(),
        }
    }

    /// What a file has; a new month when there is none.
    pub(crate) fn read(path: &Path, now: Timestamp) -> Result<Self, std::io::Error> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::new(now)),
            Err(error) => Err(error),
        }
    }

    /// Puts it in place of what the file had, whole at any moment.
    pub(crate) fn write(&self, path: &Path) -> Result<(), std::io::Error> {
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec(self)?)?;
        std::fs::rename(&fresh, path)
    }

    fn spend(&mut self, tenant: &str, spent: Duration) {
        let ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        let sum = self.spent_ms.entry(tenant.to_owned()).or_default();
        *sum = sum.saturating_add(ms);
    }
}

/// See the module. It grows with rooms and tenants alone.
pub(crate) struct Usage {
    month: Month,
    tenant_of: HashMap<MeetingId, String>,
    now: HashMap<String, Now>,
}

impl Usage {
    pub(crate) fn new(month: Month) -> Self {
        Self {
            month,
            tenant_of: HashMap::new(),
            now: HashMap::new(),
        }
    }

    /// The rooms of which it is not known whose they are.
    pub(crate) fn unknown(&self, rooms: &[Occupied]) -> Vec<MeetingId> {
        let is_unknown = |room: &&Occupied| !self.tenant_of.contains_key(&room.room);
        let unknown = rooms.iter().filter(is_unknown);
        unknown.map(|room| room.room.clone()).collect()
    }

    pub(crate) fn learn(&mut self, room: MeetingId, tenant: String) {
        self.tenant_of.insert(room, tenant);
    }

    /// So long were these rooms as they are.
    pub(crate) fn count(&mut self, rooms: &[Occupied], lasted: Duration, now: Timestamp) {
        if first_of_month(now) != self.month.month {
            self.month = Month::new(now);
        }
        let mut seen = HashMap::new();
        self.now.clear();
        for room in rooms {
            let Some((room_id, tenant)) = self.tenant_of.remove_entry(&room.room) else {
                continue;
            };
            let sum = self.now.entry(tenant.clone()).or_default();
            let people = room.participants.saturating_add(room.coming);
            sum.participants = sum.participants.saturating_add(people);
            sum.bitrate = Bitrate::bps(sum.bitrate.as_bps().saturating_add(room.bitrate.as_bps()));
            self.month.spend(&tenant, lasted * room.participants);
            seen.insert(room_id, tenant);
        }
        self.tenant_of = seen;
    }

    /// Somebody was sent to an edge; the next count has it among those who are coming.
    pub(crate) fn admit(&mut self, tenant: &str) {
        self.now.entry(tenant.to_owned()).or_default().participants += 1;
    }

    pub(crate) fn of(&self, tenant: &str) -> Now {
        self.now.get(tenant).copied().unwrap_or_default()
    }

    pub(crate) fn minutes(&self, tenant: &str) -> u64 {
        self.month.spent_ms.get(tenant).copied().unwrap_or_default() / 60_000
    }

    pub(crate) fn month(&self) -> &Month {
        &self.month
    }

    /// How long this month still lasts.
    pub(crate) fn month_left(&self, now: Timestamp) -> Duration {
        let next = self.month.month.checked_add(1.month()).ok();
        let next = next.and_then(|next| next.to_zoned(TimeZone::UTC).ok());
        let left = next.map(|next| next.timestamp().duration_since(now));
        left.and_then(|left| Duration::try_from(left).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn room(n: u8, participants: u32) -> Occupied {
        Occupied {
            room: MeetingId::from_random([n; 10]),
            participants,
            coming: 0,
            bitrate: Bitrate::kbps(100 * u64::from(participants)),
        }
    }

    #[test]
    fn minutes_add_up_over_rooms_and_restarts_and_end_with_the_month() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("usage.json");
        let now = at("2030-02-27T12:00:00Z");
        let mut usage = Usage::new(Month::read(&path, now).expect("none is a new one"));
        let rooms = [room(1, 3), room(2, 2), room(3, 7)];
        assert_eq!(usage.unknown(&rooms).len(), 3);
        usage.learn(rooms[0].room.clone(), "acme".into());
        usage.learn(rooms[1].room.clone(), "acme".into());
        usage.count(&rooms, Duration::from_secs(90), now);
        assert_eq!(usage.minutes("acme"), 7);
        assert_eq!(usage.of("acme").participants, 5);
        assert_eq!(usage.of("acme").bitrate, Bitrate::kbps(500));
        assert_eq!(usage.unknown(&rooms), [rooms[2].room.clone()]);
        usage.admit("acme");
        assert_eq!(usage.of("acme").participants, 6);
        usage.month().write(&path).expect("written");
        let mut again = Usage::new(Month::read(&path, now).expect("read"));
        assert_eq!(again.minutes("acme"), 7);
        assert_eq!(again.month_left(now), Duration::from_secs(36 * 3_600));
        again.count(&[], Duration::from_secs(1), at("2030-03-01T00:00:00Z"));
        assert_eq!(again.minutes("acme"), 0);
        std::fs::write(&path, "nonsense").expect("written");
        assert!(Month::read(&path, now).is_err(), "not overwritten silently");
    }

    #[test]
    fn rooms_that_are_over_are_forgotten() {
        let now = at("2030-02-27T12:00:00Z");
        let mut usage = Usage::new(Month::new(now));
        usage.learn(room(1, 1).room, "acme".into());
        usage.count(&[], Duration::ZERO, now);
        assert!(usage.tenant_of.is_empty() && usage.now.is_empty());
    }
}
