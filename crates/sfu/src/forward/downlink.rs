//! One participant's downlink: which of its videos gets what.

use std::collections::VecDeque;

use sluice_types::layers::LayerSet;
use sluice_types::room::{MediaKind, TrackSource};
use sluice_types::signal::{Priority, Wish};
use sluice_types::units::{Bitrate, Time};

use super::allocation::{Demanded, Offer, allocate};
use super::encoding::EncodingId;
use super::pacing::Queued;
use super::repair::Again;
use super::selection::Choice;
use super::source::{Origin, Source};
use super::{Forwarder, Outbox, OwnerId, Peer, PeerId, SinkId, Target};
use crate::bandwidth::{Bucket, Config, Estimator, ProbeId};
use crate::layer::{Layer, SPATIAL_MAX, TEMPORAL_MAX};
use crate::rtp::{Extension, ExtensionBlock};

/// What an encoding of that place is taken to need before it is measured, of one, two or three.
const NOMINAL: [Bitrate; SPATIAL_MAX] =
    [Bitrate::kbps(150), Bitrate::kbps(500), Bitrate::kbps(1_700)];

/// The height of the largest encoding before a key frame told it, in pixels.
const NOMINAL_HEIGHT: u16 = 720;

/// The picture rate of a whole stream; each temporal layer halves it.
const FRAME_RATE: u8 = 30;

/// How far back packets are repeated for a probe, at each sink.
const PROBE_BACK: u16 = 64;

/// The most attempts at packets of nothing but padding for one probe.
const PADDING_MAX: usize = 200;

/// What a packet is longer than its payload on the wire, in bytes: IP, UDP, RTP with extensions, SRTP.
const OVERHEAD_BYTES: usize = 28 + 12 + 20 + 16;

/// The budget of a participant that cannot say what arrives.
const UNLIMITED: Bitrate = Bitrate::mbps(1_000_000);

/// What is known of one participant's network, and what waits for it.
#[derive(Debug)]
pub(super) struct Downlink {
    pub(super) estimator: Estimator,
    pub(super) bucket: Bucket,
    pub(super) queue: VecDeque<Queued>,
    /// What everything that it wants would take.
    needed: Bitrate,
    /// What it was given.
    allocated: Bitrate,
    /// Whether a video does not fit.
    paused: bool,
    /// The cluster that packets are sent for.
    probe: Option<ProbeId>,
}

impl Default for Downlink {
    fn default() -> Self {
        let config = Config::default();
        Self {
            estimator: Estimator::new(config),
            bucket: Bucket::new(config.start),
            queue: VecDeque::new(),
            needed: Bitrate::bps(0),
            allocated: Bitrate::bps(0),
            paused: false,
            probe: None,
        }
    }
}

impl Peer {
    /// Gives a packet its transport-wide sequence number, where that was agreed upon.
    pub(super) fn number_transport(
        &mut self,
        now: Time,
        bytes: usize,
        extensions: &mut ExtensionBlock,
    ) {
        let Some(id) = self.formats.extensions.id(Extension::TransportCc) else {
            return;
        };
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        extensions.push(id, &self.transport_sequence.to_be_bytes());
        let downlink = &mut self.downlink;
        let bytes = bytes + OVERHEAD_BYTES;
        downlink
            .estimator
            .sent(now, self.transport_sequence, bytes, downlink.probe);
        downlink.bucket.spend(now, bytes);
    }

    /// Whether it is known what arrives.
    pub(super) fn is_estimated(&self) -> bool {
        self.formats.extensions.id(Extension::TransportCc).is_some()
            || self.downlink.estimator.has_feedback()
    }

    /// What the participant's network carries, as far as it is known.
    pub(super) fn budget(&self) -> Bitrate {
        if self.is_estimated() {
            self.downlink.estimator.target()
        } else {
            UNLIMITED
        }
    }
}

/// How a video is wanted by a receiver that says nothing: who speaks large, a screen in full, the
/// others the smaller the more there are.
fn default_wish(source: &Source, dominant: Option<OwnerId>, videos: usize) -> Wish {
    let matters = source.track.source == TrackSource::Screen
        || dominant == Some(source.track.owner)
        || videos <= 2;
    let height = match videos {
        _ if matters => None,
        0..=6 => Some(360),
        _ => Some(180),
    };
    Wish {
        height,
        priority: if matters {
            Priority::High
        } else {
            Priority::Normal
        },
        ..Wish::default()
    }
}

/// What a source offers to a wish.
#[derive(Clone, Copy)]
struct Offered {
    /// The encoding that the wish is best served by, whether it is sent now or not.
    ideal: EncodingId,
    /// One that may serve it better, if the publisher has it: only its edge knows how many there
    /// are, and a publisher whose own network begins slowly starts the largest late.
    unseen: Option<EncodingId>,
}

impl Offered {
    const NOTHING: Self = Self {
        ideal: EncodingId(0),
        unseen: None,
    };
}

/// The bitrate of an encoding's layers, or what it is taken to be before it was measured.
fn bitrate(source: &Source, choice: Choice) -> Bitrate {
    // Better a burst than no picture: what may be large is only known once it was sent.
    if choice.encoding.index() == 0 && !is_measured(source, choice) {
        return NOMINAL[0];
    }
    likely_bitrate(source, choice)
}

fn is_measured(source: &Source, choice: Choice) -> bool {
    let meter = &source.encodings[choice.encoding.index()].meter;
    meter.up_to(choice.layer) > Bitrate::bps(0)
}

/// What an encoding's layers may need: room for so much is looked for.
fn likely_bitrate(source: &Source, choice: Choice) -> Bitrate {
    let place = choice.encoding.index();
    if is_measured(source, choice) {
        return source.encodings[place].meter.up_to(choice.layer);
    }
    let from_top = source.encodings.len() - 1 - place;
    NOMINAL[SPATIAL_MAX - 1 - from_top.min(SPATIAL_MAX - 1)]
}

/// Appends what can be had of a source now and is not more than wished, the lowest first.
fn offer(source: &Source, now: Time, wish: &Wish, offers: &mut Vec<Offer>) -> Offered {
    let count = source.encodings.len();
    let last = count - 1;
    let tallest = source.encodings[last]
        .size
        .map_or(NOMINAL_HEIGHT, |size| size.1);
    // Ten percent too few pixels are not worth four times the bits.
    let enough = |height: u16| {
        wish.height
            .is_some_and(|wished| u32::from(height) * 10 >= u32::from(wished) * 9)
    };
    let height_of = |place: usize| {
        let told = source.encodings[place].size.map(|size| size.1);
        told.unwrap_or(tallest >> (last - place))
    };
    let ideal = (0..count)
        .find(|&place| enough(height_of(place)))
        .unwrap_or(last);
    let alive = |place: usize| source.is_alive(now, EncodingId(place as u8));
    let before = offers.len();
    for place in (0..=ideal).filter(|&place| alive(place)) {
        let first = offers.len() == before;
        offer_layers(
            source,
            EncodingId(place as u8),
            wish,
            &enough,
            first,
            offers,
        );
    }
    if offers.len() == before {
        // Nothing as small comes: the next larger there is, or what comes first.
        let place = (ideal..count).find(|&place| alive(place)).unwrap_or(0);
        let choice = Choice {
            encoding: EncodingId(place as u8),
            layer: Layer {
                spatial: 0,
                temporal: TEMPORAL_MAX as u8 - 1,
            },
        };
        let bitrate = if alive(place) {
            bitrate(source, choice)
        } else {
            Bitrate::bps(0)
        };
        offers.push(Offer { choice, bitrate });
    }
    let more = matches!(source.origin, Origin::Backbone) && count < SPATIAL_MAX;
    Offered {
        // Three at most.
        ideal: EncodingId(ideal as u8),
        unseen: (more && ideal == last && !enough(height_of(last)))
            .then_some(EncodingId(count as u8)),
    }
}

/// Appends the layers of one encoding. Of the larger ones only those are worth having that are
/// nearly as smooth as the smaller one was.
fn offer_layers(
    source: &Source,
    encoding: EncodingId,
    wish: &Wish,
    enough: &impl Fn(u16) -> bool,
    first: bool,
    offers: &mut Vec<Offer>,
) {
    let at = &source.encodings[encoding.index()];
    let temporal_layers = at.meter.temporal_layers().max(1);
    let highest = (0..temporal_layers)
        .find(|&temporal| {
            let rate = FRAME_RATE >> (temporal_layers - 1 - temporal).min(7);
            wish.frame_rate.is_some_and(|wished| rate >= wished)
        })
        .unwrap_or(temporal_layers - 1);
    let spatial_layers = at.spatial_layers();
    let resolutions = at.structure.as_ref().map_or(&[][..], |s| s.resolutions());
    let tallest = at.size.map_or(NOMINAL_HEIGHT, |size| size.1);
    for spatial in 0..spatial_layers {
        let lowest = if first && spatial == 0 {
            0
        } else {
            highest.saturating_sub(1)
        };
        for temporal in lowest..=highest {
            // A stream that was not measured yet may have more layers than it showed.
            let whole = wish.frame_rate.is_none() && temporal + 1 == temporal_layers;
            let choice = Choice {
                encoding,
                layer: Layer {
                    spatial,
                    temporal: if whole {
                        TEMPORAL_MAX as u8 - 1
                    } else {
                        temporal
                    },
                },
            };
            offers.push(Offer {
                choice,
                bitrate: bitrate(source, choice),
            });
        }
        let height = resolutions
            .get(usize::from(spatial))
            .map_or(tallest >> (spatial_layers - 1 - spatial), |size| size.1);
        if enough(height) {
            break;
        }
    }
}

impl Forwarder {
    /// Shares out a participant's downlink anew.
    pub(super) fn allocate(&mut self, now: Time, key: PeerId, outbox: &mut impl Outbox) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let sinks: Vec<SinkId> = peer.sinks.clone();
        let is_video =
            |sink: &&SinkId| self.sources[self.sinks[sink.0].source.0].kind == MediaKind::Video;
        let videos = sinks.iter().filter(is_video).count();
        let budget = peer.budget();
        // Sound comes first, and is never weighed against pictures.
        let sound: u64 = sinks
            .iter()
            .map(|sink| &self.sources[self.sinks[sink.0].source.0])
            .filter(|source| source.kind == MediaKind::Audio && source.voice.audible)
            .map(|source| source.encodings[0].meter.up_to(Layer::default()).as_bps())
            .sum();
        let budget = Bitrate::bps(budget.as_bps().saturating_sub(sound));
        let mut offers = Vec::with_capacity(videos * 6);
        let mut entries = Vec::with_capacity(videos);
        for &sink in sinks.iter().filter(is_video) {
            let at = &self.sinks[sink.0];
            let source = &self.sources[at.source.0];
            let dominant = self
                .speakers
                .dominant(source.track.room)
                .and_then(|voice| self.sources.get(voice.0))
                .map(|voice| voice.track.owner);
            let wish = at
                .wish
                .unwrap_or_else(|| default_wish(source, dominant, videos));
            if !wish.visible {
                entries.push((sink, wish.priority, 0..0, Offered::NOTHING));
                continue;
            }
            let start = offers.len();
            let offered = offer(source, now, &wish, &mut offers);
            entries.push((sink, wish.priority, start..offers.len(), offered));
        }
        let demanded: Vec<_> = entries
            .iter()
            .map(|(sink, priority, range, _)| Demanded {
                priority: *priority,
                offers: &offers[range.clone()],
                current: self.sinks[sink.0].selection.choice(),
            })
            .collect();
        let mut given = Vec::new();
        allocate(budget, &demanded, &mut given);
        let mut needed = sound;
        let mut left = budget.as_bps();
        for ((video, place), (sink, ..)) in demanded.iter().zip(&given).zip(&entries) {
            let source = &self.sources[self.sinks[sink.0].source.0];
            needed += video
                .offers
                .last()
                .map_or(0, |best| likely_bitrate(source, best.choice).as_bps());
            left -= place.map_or(0, |place| video.offers[place].bitrate.as_bps().min(left));
        }
        for ((sink, _, range, offered), place) in entries.into_iter().zip(given) {
            let choice = place.map(|place| offers[range.clone()][place]);
            needed += self.apply(
                now,
                sink,
                &offers[range],
                choice,
                offered,
                &mut left,
                outbox,
            );
        }
        let paused = sinks.iter().any(|sink| self.sinks[sink.0].told_paused);
        let downlink = &mut self.peers[key.0].downlink;
        downlink.paused = paused;
        downlink.needed = Bitrate::bps(needed);
        downlink.allocated = Bitrate::bps(sound + (budget.as_bps() - left));
    }

    /// Feedback of a participant changed what its network is taken to carry.
    pub(super) fn estimate_changed(&mut self, now: Time, key: PeerId, outbox: &mut impl Outbox) {
        let peer = &mut self.peers[key.0];
        let target = peer.downlink.estimator.target();
        peer.downlink.bucket.set_estimate(target);
        // A fall is acted upon at once, the rest when its time comes.
        if target < peer.downlink.allocated {
            self.allocate(now, key, outbox);
        }
    }

    /// Sends a participant a cluster of packets faster than media goes, to see whether its network
    /// carries more: the latest ones once more, which the receiver drops as repeated.
    pub(super) fn probe(&mut self, now: Time, key: PeerId, outbox: &mut impl Outbox) {
        let peer = &mut self.peers[key.0];
        // Media brings the first feedback by itself, unless all of it is paused.
        let begun = peer.downlink.estimator.has_feedback() || peer.downlink.paused;
        if !begun || peer.formats.extensions.id(Extension::TransportCc).is_none() {
            return;
        }
        let needed = peer.downlink.needed;
        let Some(probe) = peer.downlink.estimator.poll_probe(now, needed) else {
            return;
        };
        let sinks = peer.sinks.clone();
        peer.downlink.probe = Some(probe.id);
        let (mut bytes, mut packets) = (0, 0);
        'cluster: for back in 0..PROBE_BACK {
            for &sink in &sinks {
                if bytes >= probe.bytes && packets >= probe.packets {
                    break 'cluster;
                }
                let Some((latest, _)) = self.sinks[sink.0].latest() else {
                    continue;
                };
                let sequence = (latest.index as u16).wrapping_sub(back);
                if let Some(sent) = self.send_again(now, sink, sequence, Again::Probe, outbox) {
                    bytes += sent + OVERHEAD_BYTES;
                    packets += 1;
                }
            }
        }
        // Nothing is left to repeat of a video that has been paused for long.
        for &sink in sinks.iter().cycle().take(PADDING_MAX) {
            if bytes >= probe.bytes && packets >= probe.packets {
                break;
            }
            if self.send_padding(now, sink, outbox) {
                bytes += usize::from(u8::MAX) + OVERHEAD_BYTES;
                packets += 1;
            }
        }
        self.peers[key.0].downlink.probe = None;
    }

    /// Carries out what one video was given, and says what it would need beyond what was offered.
    #[expect(clippy::too_many_arguments, reason = "one step of the allocation")]
    fn apply(
        &mut self,
        now: Time,
        key: SinkId,
        offers: &[Offer],
        choice: Option<Offer>,
        offered: Offered,
        left: &mut u64,
        outbox: &mut impl Outbox,
    ) -> u64 {
        let sink = &mut self.sinks[key.0];
        let source = sink.source;
        sink.selection.choose(choice.map(|offer| offer.choice));
        let paused = choice.is_none() && !offers.is_empty();
        if std::mem::replace(&mut sink.told_paused, paused) != paused {
            outbox.paused(key, paused);
        }
        let mut wanted = LayerSet::default();
        // What goes out until the choice can be carried out is wanted as long.
        for Choice { encoding, layer } in choice
            .map(|given| given.choice)
            .into_iter()
            .chain(sink.current())
        {
            wanted = wanted.with(encoding.0, layer.spatial, layer.temporal);
        }
        let mut more = 0;
        if let Some(given) = choice {
            if given.choice.encoding < offered.ideal {
                // The next larger one is not sent: it would have to be started first.
                let next = EncodingId(given.choice.encoding.0 + 1);
                let whole = Layer {
                    spatial: SPATIAL_MAX as u8 - 1,
                    temporal: TEMPORAL_MAX as u8 - 1,
                };
                let next_choice = Choice {
                    encoding: next,
                    layer: whole,
                };
                let cost = bitrate(&self.sources[source.0], next_choice).as_bps();
                more = cost.saturating_sub(given.bitrate.as_bps());
                if more <= *left {
                    *left -= more;
                    wanted = wanted.with_whole(next.0);
                }
            } else if let Some(unseen) = offered.unseen
                && offers.last() == Some(&given)
            {
                // What it takes is known once it was seen, and then it is weighed as the others are.
                wanted = wanted.with_whole(unseen.0);
            }
        }
        sink.layers = wanted;
        match sink.selection.awaited() {
            Some(encoding) if !self.replay(now, key, encoding, outbox) => {
                self.want_key_frame(now, source, encoding, outbox);
            }
            Some(_) => {}
            None => self.unblock(now, key, outbox),
        }
        more
    }

    /// A spatial layer that cannot be entered without one is waited for a little, then a key frame is
    /// asked for.
    fn unblock(&mut self, now: Time, key: SinkId, outbox: &mut impl Outbox) {
        let sink = &mut self.sinks[key.0];
        let stuck = match (sink.selection.choice(), sink.current()) {
            (Some(choice), Some(current)) => {
                let most = self.sources[sink.source.0].encodings[choice.encoding.index()]
                    .spatial_layers()
                    .saturating_sub(1);
                choice.layer.spatial.min(most) != current.layer.spatial
            }
            _ => false,
        };
        if !stuck {
            sink.waiting = None;
            return;
        }
        let since = *sink.waiting.get_or_insert(now);
        if now.since(since) >= ENTRY_PATIENCE
            && let Some(choice) = sink.selection.choice()
        {
            let source = sink.source;
            self.want_key_frame(now, source, choice.encoding, outbox);
        }
    }

    /// Looks which layers of which tracks anybody wants. A publisher is asked for whole encodings.
    pub(super) fn update_demand(&mut self, now: Time, outbox: &mut impl Outbox) {
        for (key, source) in &mut self.sources {
            if source.kind != MediaKind::Video {
                continue;
            }
            let wanted = source
                .sinks
                .iter()
                .map(|sink| self.sinks[sink.0].layers)
                .fold(LayerSet::default(), LayerSet::or);
            let wanted = match source.origin {
                Origin::Peer { .. } => wanted.with(0, 0, 0).whole(),
                Origin::Backbone => wanted,
            };
            if let Some(set) = source.demand.update(now, wanted) {
                outbox.layers_wanted(super::SourceId(key), set);
            }
        }
    }

    /// What a video sink is sent now; `None` for nothing, or when there is no such sink.
    #[must_use]
    pub fn sent_to(&self, sink: SinkId) -> Option<Choice> {
        let sink = self.sinks.get(sink.0)?;
        matches!(sink.target, Target::Peer { .. })
            .then(|| sink.current())
            .flatten()
    }
}

/// How long a layer switch may wait for a frame that allows it before a key frame is asked for.
const ENTRY_PATIENCE: std::time::Duration = std::time::Duration::from_millis(250);
