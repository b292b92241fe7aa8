//! Shares out a participant's downlink, and carries out what each video was given.

use std::time::Duration;

use sluice_types::layers::LayerSet;
use sluice_types::room::MediaKind;
use sluice_types::signal::Priority;
use sluice_types::units::{Bitrate, Time};

use super::allocation::{Demanded, Offer, allocate};
use super::encoding::EncodingId;
use super::offers::{Offered, bitrate, default_wish, likely_bitrate, offer};
use super::selection::Choice;
use super::source::Origin;
use super::{Forwarder, Outbox, PeerId, SinkId, SourceId, Target};
use crate::layer::{Layer, SPATIAL_MAX, TEMPORAL_MAX};

/// How long a layer switch may wait for a frame that allows it before a key frame is asked for.
const ENTRY_PATIENCE: Duration = Duration::from_millis(250);

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
        let fell = peer.downlink.fell_lately(now);
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
            if fell {
                keep_what_is_soon_there(&mut offers, start, at.current());
            }
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
        let budget = match self.can_probe(key) {
            true => budget,
            false => budget.max(tried(&demanded)),
        };
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
                let at = &self.sources[source.0];
                let before = at.encodings[next.index()].meter.started_up_to(whole);
                let cost = bitrate(at, next_choice).max(before).as_bps();
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
        let room = choice.map_or(0, |given| given.bitrate.as_bps()) + *left;
        self.give_up_what_is_too_large(key, Bitrate::bps(room));
        let sink = &mut self.sinks[key.0];
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
                outbox.layers_wanted(SourceId(key), set);
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

/// Whoever's path just fell goes on with what goes out or with the smallest: the key frame of anything
/// between fills the queue once more before it shows. Looks at the offers from `start` on.
fn keep_what_is_soon_there(offers: &mut Vec<Offer>, start: usize, current: Option<Choice>) {
    let encoding = |choice: Choice| choice.encoding;
    let smallest = offers.get(start).map(|offer| offer.choice);
    let soon = [smallest, current].map(|choice| choice.map(encoding));
    let mut place = 0;
    offers.retain(|offer| {
        place += 1;
        place <= start || soon.contains(&Some(offer.choice.encoding))
    });
}

/// What the lowest layer of the most important video takes, with its margin. Who cannot be probed is
/// sent that much of media always: nothing else could tell that there is room again.
fn tried(demanded: &[Demanded<'_>]) -> Bitrate {
    let videos = demanded.iter().filter(|video| !video.offers.is_empty());
    let first = videos.min_by_key(|video| match video.priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    });
    let lowest = first.map_or(0, |video| video.offers[0].bitrate.as_bps());
    Bitrate::bps(lowest + lowest / 4)
}
