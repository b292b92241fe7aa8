//! Checks from addresses at which nobody is known yet: few enough that reading and verifying them
//! never takes a worker's time from calls. One table of a fixed size, no allocation, no lock.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use sluice_guard::{AddressRules, network};
use sluice_types::units::Time;

/// Checks a second of one IPv4 address or IPv6 /64, and at once. A client checks each pair of
/// candidates every 50 ms until one of them is known (RFC 8445, section 14), and many share an address.
const PER_NETWORK: Bucket = Bucket::new(100, 400);

/// Checks a second of all strangers together, and at once: about a twentieth of a core.
const TOGETHER: Bucket = Bucket::new(4_000, 4_000);

/// Networks share a place of the table by chance, and with it its bucket. By which chance is secret, so
/// that nobody can choose with whom.
const PLACES: usize = 8_192;

#[derive(Clone, Copy)]
struct Bucket {
    interval: Duration,
    full: Duration,
}

impl Bucket {
    const fn new(per_second: u64, burst: u64) -> Self {
        let interval = Duration::from_micros(1_000_000 / per_second);
        let full = Duration::from_micros(1_000_000 / per_second * burst);
        Self { interval, full }
    }

    /// Takes one, if there is one: `empty` is when the bucket will have run out (GCRA).
    fn take(self, empty: &mut Time, now: Time) -> bool {
        let after = (*empty).max(now) + self.interval;
        let allowed = after.since(now) <= self.full;
        if allowed {
            *empty = after;
        }
        allowed
    }
}

pub(super) struct Strangers {
    addresses: AddressRules,
    hasher: RandomState,
    places: Box<[Time]>,
    together: Time,
    /// Checks that were not looked at.
    pub(super) ignored: u64,
}

impl Strangers {
    /// Only those whom `addresses` allow.
    pub(super) fn new(addresses: AddressRules) -> Self {
        Self {
            addresses,
            hasher: RandomState::new(),
            places: vec![Time::ZERO; PLACES].into(),
            together: Time::ZERO,
            ignored: 0,
        }
    }

    /// Whether a check from there is to be looked at.
    pub(super) fn allow(&mut self, now: Time, from: IpAddr) -> bool {
        let place = self.hasher.hash_one(network(from)) as usize % PLACES;
        // Who has nothing left of its own takes nothing of what all have.
        let allowed = self.addresses.allows(from)
            && PER_NETWORK.take(&mut self.places[place], now)
            && TOGETHER.take(&mut self.together, now);
        self.ignored += u64::from(!allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    fn allowed(strangers: &mut Strangers, now: Time, from: IpAddr) -> usize {
        (0..10_000).filter(|_| strangers.allow(now, from)).count()
    }

    #[test]
    fn one_who_floods_does_not_use_up_what_others_have() {
        let mut strangers = Strangers::new(AddressRules::default());
        assert_eq!(allowed(&mut strangers, Time::ZERO, ip(1)), 400);
        assert_eq!(strangers.ignored, 9_600);
        let other = (2..).map(ip).find(|&other| {
            let place = |of| strangers.hasher.hash_one(network(of)) as usize % PLACES;
            place(other) != place(ip(1))
        });
        let other = other.expect("most are elsewhere");
        assert!(strangers.allow(Time::ZERO, other));
        let later = Time::from_millis(1_000);
        assert_eq!(allowed(&mut strangers, later, ip(1)), 100);
    }

    #[test]
    fn many_together_get_no_more_than_a_worker_bears() {
        let mut strangers = Strangers::new(AddressRules::default());
        let flood = (0..100_000).filter(|&n| strangers.allow(Time::ZERO, ip(n)));
        assert_eq!(flood.count(), 4_000);
        assert!(strangers.allow(Time::from_millis(1), ip(200_000)), "and on");
    }

    #[test]
    fn those_who_may_not_come_are_not_looked_at() {
        let deny = vec!["192.0.2.0/24".parse().expect("a prefix")];
        let mut strangers = Strangers::new(AddressRules::new(Vec::new(), deny));
        let from = |text: &str| text.parse().expect("an address");
        assert!(!strangers.allow(Time::ZERO, from("192.0.2.1")));
        assert!(strangers.allow(Time::ZERO, from("192.0.3.1")));
    }
}
