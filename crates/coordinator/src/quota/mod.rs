//! Tenants: what each may have, from where, and what it has.

mod settings;
mod usage;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sluice_guard::{AddressRules, Rate};
use sluice_types::ids::MeetingId;
use thiserror::Error;

use self::usage::{Month, Occupied, Usage};
use crate::config::CoordinatorConfig;
use crate::state::Shared;

pub use self::settings::{Quota, TenantSettings};

/// How often rooms are counted.
const COUNT: Duration = Duration::from_secs(1);

/// How often what was used is written down. As much is lost when the coordinator is killed.
const KEEP: Duration = Duration::from_secs(60);

/// When somebody who found no place may ask again, in seconds.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// Why the minutes that were used are not known.
#[derive(Debug, Error)]
#[error("{path}: {source}", path = path.display())]
pub struct UsageError {
    path: PathBuf,
    source: std::io::Error,
}

/// What a tenant has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Exceeded {
    #[error("all {0} participants that this tenant may have are in meetings")]
    Participants(u32),
    #[error("participants of this tenant publish {sent_mbps} of {most_mbps} Mbit/s")]
    Bitrate { sent_mbps: u64, most_mbps: u32 },
    #[error("all {most} minutes that this tenant has in a month are used up")]
    Minutes { most: u64, left: Duration },
}

impl Exceeded {
    /// Which quota.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Participants(_) => "quota-participants",
            Self::Bitrate { .. } => "quota-bitrate",
            Self::Minutes { .. } => "quota-minutes",
        }
    }

    /// When it may be otherwise.
    pub(crate) const fn retry_after(self) -> Duration {
        match self {
            Self::Participants(_) | Self::Bitrate { .. } => FULL_RETRY,
            Self::Minutes { left, .. } => left,
        }
    }
}

struct Tenant {
    quota: Quota,
    rate: Rate,
    keys: AddressRules,
    clients: AddressRules,
}

/// See the module.
pub(crate) struct Tenants {
    each: Tenant,
    some: HashMap<String, Tenant>,
    usage: Mutex<Usage>,
    path: PathBuf,
}

impl Tenants {
    /// Reads what was used until now.
    pub(crate) fn open(config: &CoordinatorConfig) -> Result<Self, UsageError> {
        let path = config.usage.clone();
        let month = Month::read(&path, Timestamp::now()).map_err(|source| UsageError {
            path: path.clone(),
            source,
        })?;
        let each = Tenant {
            quota: config.quota,
            rate: Rate::per_second(config.requests_per_key),
            keys: AddressRules::default(),
            clients: AddressRules::default(),
        };
        let some = config.tenants.iter().map(|settings| {
            let rate = settings.requests_per_key.unwrap_or(config.requests_per_key);
            let tenant = Tenant {
                quota: settings.quota(config.quota),
                rate: Rate::per_second(rate),
                keys: settings.keys(),
                clients: settings.clients(),
            };
            (settings.name.clone(), tenant)
        });
        Ok(Self {
            some: some.collect(),
            each,
            usage: Mutex::new(Usage::new(month)),
            path,
        })
    }

    fn tenant(&self, name: &str) -> &Tenant {
        self.some.get(name).unwrap_or(&self.each)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn quota(&self, tenant: &str) -> Quota {
        self.tenant(tenant).quota
    }

    /// How often each of its API keys may ask.
    pub(crate) fn rate(&self, tenant: &str) -> Rate {
        self.tenant(tenant).rate
    }

    /// Whether its API keys may be used from there.
    pub(crate) fn key_allowed(&self, tenant: &str, from: IpAddr) -> bool {
        self.tenant(tenant).keys.allows(from)
    }

    /// Whether people may join its meetings from there.
    pub(crate) fn client_allowed(&self, tenant: &str, from: IpAddr) -> bool {
        self.tenant(tenant).clients.allows(from)
    }

    /// Whether one more may join a meeting of that tenant.
    pub(crate) fn check(&self, tenant: &str) -> Result<(), Exceeded> {
        let quota = self.quota(tenant);
        let usage = self.usage();
        let now = usage.of(tenant);
        if let Some(most) = quota.participants
            && now.participants >= most
        {
            return Err(Exceeded::Participants(most));
        }
        if let Some(most_mbps) = quota.bitrate_mbps
            && now.bitrate.as_bps() >= u64::from(most_mbps) * 1_000_000
        {
            let sent_mbps = now.bitrate.as_bps() / 1_000_000;
            return Err(Exceeded::Bitrate {
                sent_mbps,
                most_mbps,
            });
        }
        if let Some(most) = quota.minutes
            && usage.minutes(tenant) >= most
        {
            let left = usage.month_left(Timestamp::now());
            return Err(Exceeded::Minutes { most, left });
        }
        Ok(())
    }

    /// Somebody was sent to an edge for a meeting of that tenant.
    pub(crate) fn admit(&self, room: &MeetingId, tenant: &str) {
        let mut usage = self.usage();
        usage.learn(room.clone(), tenant.to_owned());
        usage.admit(tenant);
    }

    /// What a tenant has: participants, Mbit/s, and the minutes of this month.
    pub(crate) fn used(&self, tenant: &str) -> (u32, u64, u64) {
        let usage = self.usage();
        let now = usage.of(tenant);
        let mbps = now.bitrate.as_bps() / 1_000_000;
        (now.participants, mbps, usage.minutes(tenant))
    }

    /// Writes down what was used.
    pub(crate) fn keep(&self) {
        let month = self.usage().month().clone();
        if let Err(error) = month.write(&self.path) {
            tracing::error!(%error, path = %self.path.display(), "the minutes that tenants used are not written down");
        }
    }
}

/// Counts what tenants use, for as long as the coordinator runs.
pub(crate) async fn meter(shared: Shared) {
    let (mut counted, mut kept) = (Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(COUNT).await;
        let counting = shared.clone();
        let lasted = counted.elapsed();
        counted = Instant::now();
        let keep = kept.elapsed() >= KEEP;
        if keep {
            kept = counted;
        }
        let counted = tokio::task::spawn_blocking(move || {
            count(&counting, lasted);
            if keep {
                counting.tenants.keep();
            }
        });
        // It panicked, which was reported.
        if counted.await.is_err() {
            return;
        }
    }
}

/// Blocks for a look into the store for each room that is new.
fn count(shared: &Shared, lasted: Duration) {
    let rooms: Vec<_> = {
        let registry = shared.registry();
        let rooms = registry.occupied();
        rooms
            .map(|(room, participants, coming, bitrate)| Occupied {
                room: room.clone(),
                participants,
                coming,
                bitrate,
            })
            .collect()
    };
    let unknown = shared.tenants.usage().unknown(&rooms);
    for room in unknown {
        match shared.store().meeting(&room) {
            Ok(Some(meeting)) => shared.tenants.usage().learn(room, meeting.tenant),
            // An edge made it up, or the meeting is gone: nobody's.
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, meeting = %room, "whose it is will be asked again");
            }
        }
    }
    let now = Timestamp::now();
    shared.tenants.usage().count(&rooms, lasted, now);
}
