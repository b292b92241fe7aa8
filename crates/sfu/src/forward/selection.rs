//! Which packets of a video one receiver gets: encodings change at key frames, layers where a
//! decoder that had the lower ones alone can go on.

use super::encoding::{EncodingId, Passing};
use crate::layer::Layer;
use crate::layer::dependency::{Descriptor, Indication, Structure};

/// What a receiver should get of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// Which encoding.
    pub encoding: EncodingId,
    /// Up to which of its layers.
    pub layer: Layer,
}

/// What happens to a packet at one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes out; `starts` when the stream goes on with this encoding from here.
    Pass {
        /// Whether it is the first of its encoding.
        starts: bool,
    },
    /// It belongs to the encoding that goes out, but not to the layers.
    LeaveOut,
    /// It belongs to another encoding.
    Foreign,
}

/// How many changes of layers late packets are still judged by. They are a frame apart at least, and a
/// packet that is later than so many has no place any more.
const FORMER: usize = 8;

/// What goes out now.
#[derive(Debug, Clone, Copy)]
struct Current {
    encoding: EncodingId,
    /// Up to which layers, from the latest change on.
    reached: Reached,
    /// What went out before, the latest first.
    former: [Former; FORMER],
    frames: Frames,
}

/// Which layers of an encoding go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reached {
    layer: Layer,
    /// The decode target, when the stream has dependency descriptors.
    target: Option<u8>,
}

/// Layers that went out earlier: a late packet goes with the rest of its frame.
#[derive(Debug, Clone, Copy, Default)]
struct Former {
    reached: Reached,
    /// The first packet that they no longer held for.
    until: u64,
}

/// The choice for one receiver, and how far it is carried out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Selection {
    choice: Option<Choice>,
    current: Option<Current>,
    saves: bool,
}

impl Selection {
    /// Whether what goes out is more than there is room for, so that it is made as small as it can be
    /// while a lower encoding is waited for.
    pub(super) const fn save(&mut self, saves: bool) {
        self.saves = saves;
    }

    /// What should go out from the next possible moment on; `None` for nothing.
    pub(super) const fn choose(&mut self, choice: Option<Choice>) {
        self.choice = choice;
    }

    /// What went out did not arrive: begins again with the next key frame.
    pub(super) const fn begin_again(&mut self) {
        self.current = None;
    }

    pub(super) const fn choice(&self) -> Option<Choice> {
        self.choice
    }

    /// What goes out now.
    pub(super) fn current(&self) -> Option<Choice> {
        self.current.map(|current| Choice {
            encoding: current.encoding,
            layer: current.reached.layer,
        })
    }

    /// Whether a lower encoding than the one that goes out was chosen.
    pub(super) fn falls(&self) -> bool {
        self.choice
            .zip(self.current)
            .is_some_and(|(choice, current)| choice.encoding < current.encoding)
    }

    /// The encoding that is waited for, without whose key frame nothing changes.
    pub(super) fn awaited(&self) -> Option<EncodingId> {
        let wanted = self.choice?.encoding;
        let there = self.current.is_some_and(|c| c.encoding == wanted);
        (!there).then_some(wanted)
    }

    /// Whether a packet's picture is the last one of its time that goes out, so that its end is marked.
    pub(super) fn is_top(&self, passing: &Passing<'_>) -> bool {
        self.current.is_some_and(|current| {
            current.at(passing.number).layer.spatial == passing.unit.layer.spatial
        })
    }

    /// Decides about one packet; `newest` unless later ones of its encoding came before it.
    pub(super) fn decide(
        &mut self,
        passing: &Passing<'_>,
        structure: Option<(&Structure, u32)>,
        newest: bool,
    ) -> Verdict {
        let unit = &passing.unit;
        let starts = newest
            && unit.key_frame
            && self.choice.is_some_and(|choice| {
                choice.encoding == passing.encoding
                    && self.current.is_none_or(|c| c.encoding != choice.encoding)
            });
        if starts {
            self.current = Some(Current {
                encoding: passing.encoding,
                reached: Reached::default(),
                former: [Former::default(); FORMER],
                frames: Frames::default(),
            });
        }
        let (choice, saves) = (self.choice, self.saves);
        let Some(current) = &mut self.current else {
            return Verdict::Foreign;
        };
        if current.encoding != passing.encoding {
            return Verdict::Foreign;
        }
        let Some(choice) = choice else {
            if newest && unit.begins {
                self.current = None;
                return Verdict::Foreign;
            }
            return current.verdict(passing, false);
        };
        if newest && unit.begins {
            let wish = current.wish(choice, saves);
            let before = current.reached;
            match (&passing.dependency, structure) {
                (Some(descriptor), Some((structure, active))) => {
                    current.follow_structure(wish, descriptor, structure, active, unit.key_frame);
                }
                _ => current.follow_layers(wish, passing),
            }
            if current.reached != before {
                current.former.rotate_right(1);
                current.former[0] = Former {
                    reached: before,
                    until: passing.number,
                };
            }
        }
        current.verdict(passing, starts)
    }
}

impl Current {
    /// The layers to go for. While a lower encoding is waited for, this one is made as small as it
    /// can be where there is no room for more.
    fn wish(&self, choice: Choice, saves: bool) -> Layer {
        match choice.encoding.cmp(&self.encoding) {
            std::cmp::Ordering::Equal => choice.layer,
            std::cmp::Ordering::Less if saves => Layer {
                spatial: self.reached.layer.spatial,
                temporal: 0,
            },
            std::cmp::Ordering::Less | std::cmp::Ordering::Greater => self.reached.layer,
        }
    }

    /// What was chosen when the packet of that number had its turn.
    fn at(&self, number: u64) -> Reached {
        self.former
            .iter()
            .take_while(|former| number < former.until)
            .last()
            .map_or(self.reached, |former| former.reached)
    }

    /// Without dependency descriptors: layers build on all below them, and the stream says where a
    /// higher one may be entered.
    fn follow_layers(&mut self, wish: Layer, passing: &Passing<'_>) {
        let unit = &passing.unit;
        self.reached.target = None;
        let layer = &mut self.reached.layer;
        if unit.key_frame {
            *layer = wish;
            return;
        }
        layer.temporal = layer.temporal.min(wish.temporal);
        if unit.layer.spatial == 0 {
            layer.spatial = layer.spatial.min(wish.spatial);
        }
        let next_temporal = layer.temporal + 1;
        if unit.temporal_switch
            && unit.layer.temporal == next_temporal
            && next_temporal <= wish.temporal
        {
            layer.temporal = next_temporal;
        }
        let next_spatial = layer.spatial + 1;
        if unit.spatial_switch && unit.layer.spatial == next_spatial && next_spatial <= wish.spatial
        {
            layer.spatial = next_spatial;
        }
    }

    /// With them: a decode target may be entered at a frame that switches to it and refers to
    /// nothing that was left out.
    fn follow_structure(
        &mut self,
        wish: Layer,
        descriptor: &Descriptor,
        structure: &Structure,
        active: u32,
        key_frame: bool,
    ) {
        let desired = structure.target_for(wish, active);
        if key_frame || self.reached.target.is_none() {
            self.reached.target = desired;
        } else if let Some(target) = desired
            && self.reached.target != desired
            && descriptor.indications.of(target) == Indication::Switch
            && descriptor
                .references
                .iter()
                .all(|distance| self.frames.has(descriptor.frame.wrapping_sub(distance)))
        {
            self.reached.target = desired;
        }
        if let Some(reached) = self
            .reached
            .target
            .and_then(|target| structure.targets().get(usize::from(target)))
        {
            self.reached.layer = *reached;
        }
    }

    fn verdict(&mut self, passing: &Passing<'_>, starts: bool) -> Verdict {
        let layer = passing.unit.layer;
        let reached = self.at(passing.number);
        let passes = match (&passing.dependency, reached.target) {
            (Some(descriptor), Some(target)) => {
                descriptor.indications.of(target) != Indication::NotPresent
            }
            _ => layer.spatial <= reached.layer.spatial && layer.temporal <= reached.layer.temporal,
        };
        if !passes {
            return Verdict::LeaveOut;
        }
        if let Some(descriptor) = &passing.dependency {
            self.frames.note(descriptor.frame);
        }
        Verdict::Pass { starts }
    }
}

/// The latest frame numbers that went out.
#[derive(Debug, Clone, Copy, Default)]
struct Frames {
    latest: u16,
    /// Bit k: `latest` - k went out.
    seen: u128,
}

impl Frames {
    fn note(&mut self, frame: u16) {
        let ahead = frame.wrapping_sub(self.latest);
        if self.seen == 0 || ahead < 1 << 15 {
            self.seen = if ahead < 128 { self.seen << ahead } else { 0 } | 1;
            self.latest = frame;
        } else if let behind @ 0..128 = self.latest.wrapping_sub(frame) {
            self.seen |= 1 << behind;
        }
    }

    fn has(&self, frame: u16) -> bool {
        let behind = self.latest.wrapping_sub(frame);
        behind < 128 && self.seen >> behind & 1 == 1
    }
}
