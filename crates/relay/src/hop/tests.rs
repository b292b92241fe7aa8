//! Two ends of a hop over a link in virtual time.

use std::collections::BTreeMap;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// A link that loses, delays and reorders, the same in every run.
#[derive(Clone, Copy)]
struct Link {
    one_way: Duration,
    /// Losses in the bad state and the good one, and how often they change, of a million.
    good_loss: u64,
    to_bad: u64,
    to_good: u64,
    /// Of a million packets, how many are held back by 8 ms.
    reordered: u64,
}

impl Link {
    const fn random(one_way_ms: u64, loss_ppm: u64) -> Self {
        Self {
            one_way: Duration::from_millis(one_way_ms),
            good_loss: loss_ppm,
            to_bad: 0,
            to_good: 1_000_000,
            reordered: 0,
        }
    }

    /// Bursts of four packets.
    const fn bursty(one_way_ms: u64, loss_ppm: u64) -> Self {
        let to_good = 250_000;
        Self {
            one_way: Duration::from_millis(one_way_ms),
            good_loss: 0,
            to_bad: to_good * loss_ppm / (1_000_000 - loss_ppm),
            to_good,
            reordered: 0,
        }
    }
}

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

struct Way {
    link: Link,
    random: Random,
    bad: bool,
    flying: BTreeMap<(Time, u64), Bytes>,
    count: u64,
}

impl Way {
    fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            random: Random(seed),
            bad: false,
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    fn put(&mut self, now: Time, datagram: Bytes) {
        let leave = if self.bad {
            self.link.to_good
        } else {
            self.link.to_bad
        };
        self.bad ^= self.random.below(1_000_000) < leave;
        let lost = self.bad || self.random.below(1_000_000) < self.link.good_loss;
        let held = self.random.below(1_000_000) < self.link.reordered;
        self.count += 1;
        if !lost {
            let extra = Duration::from_millis(if held { 8 } else { 0 });
            self.flying
                .insert((now + self.link.one_way + extra, self.count), datagram);
        }
    }
}

struct Outcome {
    sent: u64,
    delivered: u64,
    in_time: u64,
    counters: [HopCounters; 2],
    measured: Measured,
}

impl Outcome {
    fn share(&self) -> f64 {
        self.in_time as f64 / self.sent as f64
    }

    fn overhead(&self) -> f64 {
        let [there, back] = self.counters;
        (there.overhead_bytes() + back.nack_bytes + back.probe_bytes) as f64
            / there.media_bytes as f64
    }
}

/// Sends video of `tracks` cameras, each 30 frames of 8 packets a second, and their sound, for so
/// long. In time is what comes within the link's delay and 1.2 round trips.
fn run(link: Link, seed: u64, tracks: u64, seconds: u64, settings: HopSettings) -> Outcome {
    let mut now = Time::from_millis(1);
    let mut ends = [Hop::new(settings, now), Hop::new(settings, now)];
    let mut ways = [Way::new(link, seed), Way::new(link, !seed)];
    let warm = Time::from_millis(2_000);
    let end = warm + Duration::from_secs(seconds);
    let mut due: Vec<(Time, u64)> = (0..tracks)
        .flat_map(|track| {
            [
                (track * 7_919 % 33_333, 33_333),
                (track * 977 % 20_000, 20_000),
            ]
        })
        .map(|(offset, every)| (Time::from_micros(1_000 + offset), every))
        .collect();
    let mut seen = BTreeMap::new();
    let (mut sent, mut in_time, mut delivered) = (0u64, 0, 0);
    let allowed = link.one_way + link.one_way * 2 * 12 / 10;
    while now < end + Duration::from_secs(2) {
        for (at, every) in &mut due {
            if *at > now || now >= end {
                continue;
            }
            *at = *at + Duration::from_micros(*every);
            let (packets, bytes) = if *every == 20_000 {
                (1, 100)
            } else {
                (8, 1_100)
            };
            for _ in 0..packets {
                let mut inner = BytesMut::zeroed(bytes);
                inner[1..9].copy_from_slice(&now.as_micros().to_be_bytes());
                inner[9..17].copy_from_slice(&sent.to_be_bytes());
                sent += 1;
                let datagram = ends[0].send(now, inner.freeze());
                ways[0].put(now, datagram);
            }
        }
        for (from, way) in ways.iter_mut().enumerate() {
            while let Some(entry) = way.flying.first_entry() {
                if entry.key().0 > now {
                    break;
                }
                ends[1 - from].receive(now, entry.remove());
            }
        }
        while let Some(inner) = ends[1].poll_delivery() {
            let number = |range: std::ops::Range<usize>| {
                u64::from_be_bytes(inner[range].try_into().expect("eight bytes"))
            };
            let (at, which) = (Time::from_micros(number(1..9)), number(9..17));
            assert!(seen.insert(which, ()).is_none(), "{which} came twice");
            if at >= warm {
                delivered += 1;
                in_time += u64::from(now.since(at) <= allowed);
            }
        }
        for (end, way) in ends.iter_mut().zip(&mut ways) {
            if end.timeout() <= now {
                end.on_timeout(now);
            }
            while let Some(datagram) = end.poll_transmit() {
                way.put(now, datagram);
            }
        }
        now = now + Duration::from_micros(500);
    }
    let before = (sent as f64 * 2.0 / (seconds as f64 + 2.0)) as u64;
    Outcome {
        // Those of the first two seconds, in which nothing is known yet, do not count.
        sent: sent - before,
        delivered,
        in_time,
        counters: [ends[0].counters(), ends[1].counters()],
        measured: ends[0].measured(),
    }
}

fn show(what: &str, outcome: &Outcome) {
    let [there, back] = outcome.counters;
    // Seen with `--nocapture`.
    eprintln!(
        "{what}: in time {:.3} %, delivered {:.3} %, overhead {:.2} %, repaired {} restored {} lost {} late {} parities {} budget {}",
        outcome.share() * 100.0,
        outcome.delivered as f64 / outcome.sent as f64 * 100.0,
        outcome.overhead() * 100.0,
        back.repaired,
        back.restored,
        back.lost,
        back.late,
        there.parities_sent,
        there.over_budget,
    );
}

#[test]
fn two_percent_at_150_ms_are_repaired_within_1_2_round_trips() {
    for (seed, tracks) in [(1, 1), (2, 4), (3, 10)] {
        let link = Link::random(75, 20_000);
        let outcome = run(
            link,
            seed,
            tracks,
            120 / tracks + 10,
            HopSettings::default(),
        );
        show("150 ms, 2 %", &outcome);
        assert!(outcome.share() >= 0.999, "{}", outcome.share());
        assert!(outcome.overhead() <= 0.10, "{}", outcome.overhead());
        let measured = outcome.measured;
        assert!((0.012..0.03).contains(&measured.loss), "{measured:?}");
        let round_trip = measured.round_trip.as_millis();
        assert!((150..156).contains(&round_trip), "{measured:?}");
    }
}

/// In time, and what it may cost: what is asked for, and where it was measured to be.
#[test]
fn what_is_lost_comes_back_on_links_of_all_lengths() {
    for round_trip in [20, 80, 150, 280] {
        for (loss, least) in [(0, 1.0), (10_000, 0.999), (20_000, 0.999), (50_000, 0.993)] {
            let link = Link::random(round_trip / 2, loss);
            let outcome = run(link, 5, 2, 30, HopSettings::default());
            show(&format!("{round_trip} ms, random {loss} ppm"), &outcome);
            assert!(outcome.share() >= least, "{}", outcome.share());
            // What is saved up before the first loss comes on top.
            assert!(outcome.overhead() <= 0.103, "{}", outcome.overhead());
        }
        for (loss, least) in [(10_000, 0.996), (20_000, 0.988), (50_000, 0.97)] {
            let link = Link::bursty(round_trip / 2, loss);
            let outcome = run(link, 5, 2, 30, HopSettings::default());
            show(&format!("{round_trip} ms, bursty {loss} ppm"), &outcome);
            assert!(outcome.share() >= least, "{}", outcome.share());
            assert!(outcome.overhead() <= 0.103, "{}", outcome.overhead());
        }
    }
}

#[test]
fn parity_brings_back_most_of_what_a_long_link_loses() {
    let outcome = run(Link::random(140, 20_000), 8, 4, 20, HopSettings::default());
    show("280 ms", &outcome);
    let [_, back] = outcome.counters;
    assert!(back.restored > 2 * back.repaired, "{back:?}");
    // A link that is too long for any request.
    let settings = HopSettings {
        latest: Duration::from_millis(200),
        ..HopSettings::default()
    };
    let outcome = run(Link::random(140, 20_000), 8, 4, 20, settings);
    let [there, back] = outcome.counters;
    // One or two before the round trip is known.
    assert!(back.nacks_sent <= 3 && there.repairs_sent <= 3, "{there:?}");
    assert!(outcome.share() > 0.996, "{}", outcome.share());
}

#[test]
fn reordering_is_not_loss() {
    let link = Link {
        reordered: 30_000,
        ..Link::random(40, 0)
    };
    let outcome = run(link, 3, 3, 20, HopSettings::default());
    let [there, back] = outcome.counters;
    assert!(back.reordered > 300, "{back:?}");
    assert_eq!((back.lost, outcome.measured.loss), (0, 0.0));
    // The first few are asked for, until the hop has learnt how far packets stray.
    assert!(
        there.repairs_sent < back.reordered / 10,
        "{there:?} {back:?}"
    );
    assert!((outcome.share() - 1.0).abs() < 1e-9);
}

#[test]
fn with_a_smaller_overhead_less_comes_back() {
    let link = Link::random(75, 50_000);
    for permille in [0, 20, 60] {
        let settings = HopSettings {
            overhead_permille: permille,
            ..HopSettings::default()
        };
        let outcome = run(link, 4, 4, 20, settings);
        let [there, _] = outcome.counters;
        let spent = there.repair_bytes + there.parity_bytes;
        assert!(
            spent <= there.media_bytes * u64::from(permille) / 1_000 + 16 * 1024,
            "{there:?}"
        );
    }
}

#[test]
fn a_peer_that_knows_nothing_of_it_gets_plain_datagrams() {
    let mut hop = Hop::new(HopSettings::default(), Time::ZERO);
    let inner = Bytes::from_static(&[0, 1, 0, 0, 9]);
    for millis in 0..3_000 {
        let now = Time::from_millis(millis);
        if hop.timeout() <= now {
            hop.on_timeout(now);
        }
        assert_eq!(hop.send(now, inner.clone()), inner);
        while let Some(datagram) = hop.poll_transmit() {
            // What an older peer does not know it leaves alone.
            assert!(crate::datagram::Datagram::parse(datagram).is_err());
        }
        hop.receive(now, inner.clone());
        assert_eq!(hop.poll_delivery(), Some(inner.clone()));
    }
    assert!(!hop.is_understood());
    assert!(hop.counters().probe_bytes < 3_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the link does, nothing comes twice (`run` sees to it), and nothing costs more than
    /// allowed.
    #[test]
    fn nothing_comes_twice_or_costs_too_much(
        one_way in 1u64..200,
        loss in 0u64..400_000,
        to_bad in 0u64..20_000,
        to_good in 20_000u64..1_000_000,
        reordered in 0u64..300_000,
        permille in 0u16..200,
        seed: u64,
    ) {
        let link = Link {
            one_way: Duration::from_millis(one_way),
            good_loss: loss,
            to_bad,
            to_good,
            reordered,
        };
        let settings = HopSettings { overhead_permille: permille, ..HopSettings::default() };
        let outcome = run(link, seed, 2, 4, settings);
        let [there, back] = outcome.counters;
        let spent = there.repair_bytes + there.parity_bytes;
        prop_assert!(spent <= there.media_bytes * u64::from(permille) / 1_000 + 16 * 1024);
        // A request a millisecond, of at most 400 bytes; far fewer as a rule.
        prop_assert!(back.nack_bytes <= there.media_bytes / 5, "{back:?}");
    }

    /// Whatever a peer sends.
    #[test]
    fn no_bytes_panic_or_pile_up(
        wire in proptest::collection::vec((4u8..9, proptest::collection::vec(any::<u8>(), 0..60)), 0..300),
    ) {
        let mut hop = Hop::new(HopSettings::default(), Time::ZERO);
        for (millis, (kind, bytes)) in wire.into_iter().enumerate() {
            let now = Time::from_millis(millis as u64);
            hop.receive(now, [&[kind], bytes.as_slice()].concat().into());
            hop.send(now, Bytes::from_static(&[0; 20]));
            if hop.timeout() <= now {
                hop.on_timeout(now);
            }
            prop_assert!(hop.transmits.len() <= WAITING_MAX + 64);
            prop_assert!(hop.deliveries.len() <= WAITING_MAX + 96);
        }
    }
}
