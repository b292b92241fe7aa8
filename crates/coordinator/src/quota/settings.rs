//! What a tenant may have.

use ipnet::IpNet;
use serde::Deserialize;
use sluice_guard::AddressRules;

/// What a tenant may have at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Meetings that are not ended.
    pub meetings: usize,
    /// Participants at once; `None` for no limit.
    pub participants: Option<u32>,
    /// What they publish at once, in Mbit/s as plans count with it; `None` for no limit.
    pub bitrate_mbps: Option<u32>,
    /// Minutes that participants spend in meetings in a calendar month (UTC); `None` for no limit.
    pub minutes: Option<u64>,
}

/// What holds for one tenant. What is absent is as for every tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSettings {
    /// The tenant, as API keys name it.
    pub name: String,
    /// Requests a second that each of its API keys may make.
    pub requests_per_key: Option<u32>,
    /// Meetings that are not ended.
    pub meetings: Option<usize>,
    /// Participants at once.
    pub participants: Option<u32>,
    /// What they publish at once, in Mbit/s.
    pub bitrate_mbps: Option<u32>,
    /// Minutes that participants spend in meetings in a calendar month.
    pub minutes: Option<u64>,
    /// Prefixes from which its API keys may be used; everywhere when empty.
    pub keys_allow: Vec<IpNet>,
    /// Prefixes from which its API keys may not be used.
    pub keys_deny: Vec<IpNet>,
    /// Prefixes from which people may join its meetings; everywhere when empty.
    pub clients_allow: Vec<IpNet>,
    /// Prefixes from which people may not join its meetings.
    pub clients_deny: Vec<IpNet>,
}

impl TenantSettings {
    pub(super) fn quota(&self, each: Quota) -> Quota {
        Quota {
            meetings: self.meetings.unwrap_or(each.meetings),
            participants: self.participants.or(each.participants),
            bitrate_mbps: self.bitrate_mbps.or(each.bitrate_mbps),
            minutes: self.minutes.or(each.minutes),
        }
    }

    pub(super) fn keys(&self) -> AddressRules {
        AddressRules::new(self.keys_allow.clone(), self.keys_deny.clone())
    }

    pub(super) fn clients(&self) -> AddressRules {
        AddressRules::new(self.clients_allow.clone(), self.clients_deny.clone())
    }
}
