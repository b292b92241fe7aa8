//! The whole downlink in virtual time: encodings of a publisher, a viewer behind a bottleneck that
//! reports what arrives.

use super::stage::Pair;
use super::watcher::Watcher;
use super::*;

/// A step of the simulation.
const STEP: Duration = Duration::from_millis(1);

const PACKET_BYTES: usize = 1_100;

/// What a request for a key frame takes to the encoder.
const TO_ENCODER: Duration = Duration::from_millis(15);

/// What the bottleneck's far side is away.
const BEYOND: Duration = Duration::from_millis(20);

struct Network {
    forwarder: Forwarder,
    sent: Sent,
    publisher: PeerId,
    viewer: PeerId,
    now: Time,
    /// What each encoding sends, in kbit/s; the lowest first.
    rates: Vec<u64>,
    owed: Vec<f64>,
    sequences: Vec<u16>,
    key: Vec<bool>,
    /// How much larger a key frame is than an ordinary picture.
    key_times: f64,
    /// Requests for key frames on their way to the encoders.
    asked: Vec<(Time, usize)>,
    wanted: LayerSet,
    picture: u32,
    /// The bottleneck, in kbit/s, and when its queue is empty.
    capacity: u64,
    free_at: Time,
    queue_max: Duration,
    /// Arrivals that were not reported yet.
    arrivals: Vec<(u64, Time)>,
    unroller: sluice_types::sequence::Unroller,
    reports: u8,
    reported: Time,
    report_interval: Duration,
    /// What passed the bottleneck, and when it is at the viewer.
    flying: std::collections::VecDeque<(Time, Vec<u8>)>,
    watcher: Watcher,
    /// Bytes of media that arrived, by payload's first mark: the encoding.
    arrived: Vec<u64>,
    longest_queue: Duration,
}

impl Network {
    fn new(rates: &[u64], capacity: u64) -> Self {
        Self::viewed_as(formats(VIEWER), rates, capacity)
    }

    fn viewed_as(formats_of_viewer: Formats, rates: &[u64], capacity: u64) -> Self {
        let Pair {
            forwarder,
            sent,
            publisher,
            viewer,
            ..
        } = Pair::new(rates.len() as u32, formats_of_viewer);
        Self {
            forwarder,
            sent,
            publisher,
            viewer,
            now: Time::ZERO,
            rates: rates.to_vec(),
            owed: vec![0.0; rates.len()],
            sequences: vec![1_000; rates.len()],
            key: vec![true; rates.len()],
            key_times: 1.0,
            asked: Vec::new(),
            wanted: LayerSet::ALL,
            picture: 0,
            capacity,
            free_at: Time::ZERO,
            queue_max: Duration::from_millis(300),
            arrivals: Vec::new(),
            unroller: sluice_types::sequence::Unroller::default(),
            reports: 0,
            reported: Time::ZERO,
            report_interval: Duration::from_millis(100),
            flying: std::collections::VecDeque::new(),
            watcher: Watcher::default(),
            arrived: vec![0; rates.len()],
            longest_queue: Duration::ZERO,
        }
    }

    /// The viewer has only just come, and is taken to have less room than the video takes.
    fn take_for_new(&mut self) {
        self.forwarder
            .refresh(self.now, self.viewer, &mut self.sent);
        self.arrivals.clear();
    }

    /// Lets so much time pass, and gives the kbit/s of each encoding that arrived.
    fn run(&mut self, duration: Duration) -> Vec<u64> {
        self.arrived.fill(0);
        self.longest_queue = Duration::ZERO;
        let end = self.now + duration;
        while self.now < end {
            self.now = self.now + STEP;
            if self.now.as_millis().is_multiple_of(33) {
                self.capture();
            }
            if self.forwarder.poll_timeout() <= self.now {
                self.forwarder.handle_timeout(self.now, &mut self.sent);
            }
            self.obey();
            self.carry();
            self.watch();
            if self.now.since(self.reported) >= self.report_interval {
                self.reported = self.now;
                self.report();
            }
        }
        let millis = duration.as_millis() as u64;
        self.arrived
            .iter()
            .map(|bytes| bytes * 8 / millis)
            .collect()
    }

    /// One picture of each encoding that is wanted.
    fn capture(&mut self) {
        self.picture += 1;
        for place in 0..self.rates.len() {
            if !self.wanted.has(place as u8) {
                self.owed[place] = 0.0;
                self.key[place] = true;
                continue;
            }
            let key = std::mem::take(&mut self.key[place]);
            self.owed[place] += self.rates[place] as f64 * 33.0 / 8.0;
            let mut picture = self.owed[place];
            self.owed[place] = 0.0;
            if key {
                picture *= self.key_times;
            }
            let packets = ((picture / PACKET_BYTES as f64).ceil() as usize).max(1);
            for nth in 0..packets {
                let size = (picture / packets as f64) as usize;
                let mut payload = vec![0; size.max(20)];
                payload[0] = if nth == 0 { 0x10 } else { 0 };
                payload[1] = u8::from(nth > 0 || !key);
                payload[12] = place as u8;
                self.sequences[place] = self.sequences[place].wrapping_add(1);
                let packet = bytes(&Outgoing {
                    marker: nth + 1 == packets,
                    payload_type: PUBLISHER + 1,
                    index: u64::from(self.sequences[place]),
                    timestamp: self.picture.wrapping_mul(2_970),
                    ssrc: 100 + place as u32,
                    extensions: &ExtensionBlock::default(),
                    original_sequence: None,
                    payload: &payload,
                    counters: Counters::default(),
                    padding: 0,
                });
                self.forwarder
                    .handle_media(self.now, self.publisher, &packet, &mut self.sent);
            }
        }
    }

    /// The publisher does what the edge asks of it.
    fn obey(&mut self) {
        for control in self.sent.controls(self.publisher) {
            if let Control::KeyFrameRequest { ssrc } = control {
                self.asked
                    .push((self.now + TO_ENCODER, ssrc as usize - 100));
            }
        }
        self.sent.control.clear();
        let (due, later) = self.asked.iter().partition(|&&(at, _)| at <= self.now);
        self.asked = later;
        let due: Vec<(Time, usize)> = due;
        for (_, place) in due {
            self.key[place] = true;
        }
        if let Some(&(_, set)) = self.sent.wanted.last() {
            self.wanted = set;
        }
        self.sent.wanted.clear();
    }

    /// Takes what was sent through the bottleneck.
    fn carry(&mut self) {
        let ids = formats(VIEWER).extensions;
        for (_, _, packet) in std::mem::take(&mut self.sent.media) {
            let header = Header::parse(&packet, &ids).expect("RTP");
            let Some(&[high, low]) = header.extension(&packet, Extension::TransportCc) else {
                panic!("everything is numbered");
            };
            let number = self.unroller.unroll(u16::from_be_bytes([high, low]));
            let begins = self.free_at.max(self.now);
            let waits = begins.since(self.now);
            if waits > self.queue_max {
                continue;
            }
            self.longest_queue = self.longest_queue.max(waits);
            let bits = (packet.len() + 44) as u64 * 8;
            self.free_at = begins + Duration::from_micros(bits * 1_000 / self.capacity);
            self.arrivals.push((number, self.free_at + BEYOND));
            if header.payload_type == VIEWER + 1
                && let Some(&place) = header.payload(&packet).get(12)
            {
                self.arrived[usize::from(place)] += packet.len() as u64;
            }
            self.flying.push_back((self.free_at + BEYOND, packet));
        }
    }

    /// The viewer takes what is there, and asks for what is not.
    fn watch(&mut self) {
        let ids = formats(VIEWER).extensions;
        while let Some((_, packet)) = self.flying.pop_front_if(|(at, _)| *at <= self.now) {
            let header = Header::parse(&packet, &ids).expect("RTP");
            let repair = header.payload_type == VIEWER + 2;
            self.watcher.take(self.now, &header, &packet, repair);
        }
        let missing = self.watcher.asks(self.now);
        if !missing.is_empty() {
            let mut request = Vec::new();
            rtcp::nack(&mut request, SINK_SSRC, &missing);
            self.forwarder
                .handle_control(self.now, self.viewer, &request, &mut self.sent);
        }
    }

    fn report(&mut self) {
        let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.arrivals)
            .into_iter()
            .partition(|&(_, at)| at <= self.now);
        self.arrivals = later;
        due.sort_unstable();
        let mut rest = &due[..];
        while !rest.is_empty() {
            let mut feedback = Vec::new();
            let told = rtcp::transport_feedback(&mut feedback, 1, self.reports, rest).max(1);
            self.reports = self.reports.wrapping_add(1);
            self.forwarder
                .handle_control(self.now, self.viewer, &feedback, &mut self.sent);
            rest = &rest[told..];
        }
    }
}

#[test]
fn a_wide_network_carries_a_large_single_encoding_from_the_start() {
    let mut network = Network::new(&[2_600], 50_000);
    network.run(Duration::from_secs(1));
    assert_eq!(network.sent.paused, [], "it fits");
    let got = network.run(Duration::from_secs(4));
    assert!(got[0] > 2_500, "{got:?} kbit/s");
    assert_eq!(network.sent.paused, [], "it fits");
}

#[test]
fn a_narrow_network_pauses_what_it_cannot_carry_and_goes_on_when_it_can() {
    let mut network = Network::new(&[1_600], 600);
    network.run(Duration::from_secs(10));
    assert_eq!(network.sent.paused.last().map(|p| p.1), Some(true));
    network.capacity = 20_000;
    network.run(Duration::from_secs(10));
    assert_eq!(network.sent.paused.last().map(|p| p.1), Some(false));
    let got = network.run(Duration::from_secs(4));
    assert!(got[0] > 1_500, "{got:?} kbit/s");
}

#[test]
fn a_viewer_gets_the_layer_that_its_network_carries() {
    let mut network = Network::new(&[150, 500, 1_700], 20_000);
    network.run(Duration::from_secs(6));
    let got = network.run(Duration::from_secs(4));
    assert!(got[2] > 1_600, "the largest, of {got:?} kbit/s");
    network.capacity = 700;
    network.run(Duration::from_secs(2));
    let got = network.run(Duration::from_secs(8));
    assert_eq!(got[2], 0, "the largest does not fit");
    assert!(got[0] + got[1] > 140, "a smaller one goes on: {got:?}");
    assert!(
        network.longest_queue < Duration::from_millis(200),
        "{:?}",
        network.longest_queue
    );
    network.capacity = 20_000;
    network.run(Duration::from_secs(12));
    let got = network.run(Duration::from_secs(4));
    assert!(got[2] > 1_600, "the largest again, of {got:?} kbit/s");
    assert_eq!(network.sent.paused, [], "something always fitted");
}

#[test]
fn who_cannot_be_probed_is_sent_media_to_see_what_passes() {
    let mut without_repairs = formats(VIEWER);
    without_repairs.payload_types = PayloadTypes::default();
    without_repairs
        .payload_types
        .set(Codec::Vp8, VIEWER + 1, None);
    let mut network = Network::viewed_as(without_repairs, &[2_600], 20_000);
    network.run(Duration::from_secs(2));
    network.take_for_new();
    network.run(Duration::from_secs(2));
    let got = network.run(Duration::from_secs(2));
    assert!(got[0] > 2_500, "{got:?} kbit/s");
    network.capacity = 600;
    network.run(Duration::from_secs(10));
    network.capacity = 20_000;
    network.run(Duration::from_secs(10));
    let got = network.run(Duration::from_secs(4));
    assert!(got[0] > 2_500, "{got:?} kbit/s when there is room again");
}

#[test]
fn who_comes_late_gets_a_large_single_encoding_too() {
    let mut network = Network::new(&[2_600], 50_000);
    network.run(Duration::from_secs(2));
    network.take_for_new();
    network.run(Duration::from_secs(2));
    let got = network.run(Duration::from_secs(2));
    assert!(got[0] > 2_500, "{got:?} kbit/s");
}

/// A path of 20 Mbit/s and 20 ms falls to 350 kbit/s, with a queue of 150 ms before what it has no room
/// for is lost.
///
/// The bound is what the path itself takes. The report that shows three packets at 25 ms each comes up to
/// 60 ms after the third, and 20 ms later than it was; until then the larger encoding fills the bottleneck,
/// whose 150 ms no edge can take back, and 50 ms for the smallest's key frame come on top: 355 ms after
/// the fall at most. The last whole picture before that is the first after the fall, 33 ms after it at
/// most, which takes six packets and so 150 ms, or, had it one packet more, the one before.
#[test]
fn a_hard_fall_is_a_short_freeze() {
    let mut longest = Duration::ZERO;
    for phase in 0..40 {
        let mut network = Network::new(&[120, 450, 1_500], 20_000);
        network.queue_max = Duration::from_millis(150);
        network.key_times = 4.0;
        network.report_interval = Duration::from_millis(60);
        network.run(Duration::from_secs(5) + Duration::from_millis(phase * 7));
        let (fell, before) = (network.now, network.forwarder.sent_to(SinkId(0)));
        assert_eq!(before.map(|choice| choice.encoding.0), Some(2));
        network.capacity = 350;
        network.run(Duration::from_secs(2));
        let since = Time::ZERO + fell.since(Time::ZERO + Duration::from_millis(100));
        let gap = network.watcher.longest_gap(since);
        let got = network.run(Duration::from_secs(2));
        assert!(got[0] > 100 && got[1] == 0 && got[2] == 0, "{got:?}");
        longest = longest.max(gap);
    }
    assert!(longest <= Duration::from_millis(290), "{longest:?}");
}

/// The middle encoding would fit just so, but not its key frame.
#[test]
fn a_hard_fall_leads_to_the_smallest_first() {
    let mut longest = Duration::ZERO;
    for phase in 0..40 {
        let mut network = Network::new(&[120, 260, 1_500], 20_000);
        network.queue_max = Duration::from_millis(150);
        network.key_times = 8.0;
        network.report_interval = Duration::from_millis(60);
        network.run(Duration::from_secs(5) + Duration::from_millis(phase * 7));
        let fell = network.now;
        network.capacity = 350;
        // Before it climbs again.
        network.run(Duration::from_secs(1));
        let since = Time::ZERO + fell.since(Time::ZERO + Duration::from_millis(100));
        longest = longest.max(network.watcher.longest_gap(since));
    }
    assert!(longest <= Duration::from_millis(330), "{longest:?}");
}
