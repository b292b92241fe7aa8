//! The cheapest way from a tree to a region within limits: label setting (Joksch 1966), led by what
//! remains at least.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::net::{Hop, NEVER, Region};
use crate::sketch::{Sketch, Task, Want};

/// Which limits a search keeps to. With all of them it looks for the cheapest way, otherwise for
/// the shortest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strictness {
    pub(crate) stretch: bool,
    pub(crate) fan_out: bool,
    pub(crate) capacity: bool,
    pub(crate) hops: bool,
}

impl Strictness {
    pub(crate) const FULL: Self = Self {
        stretch: true,
        fan_out: true,
        capacity: true,
        hops: true,
    };

    /// What is given up, one after the other: see [`crate::limits::Broken::rank`].
    pub(crate) const STEPS: [Self; 5] = {
        let stretched = Self {
            stretch: false,
            ..Self::FULL
        };
        let crowded = Self {
            fan_out: false,
            ..stretched
        };
        let overfull = Self {
            capacity: false,
            ..crowded
        };
        let endless = Self {
            hops: false,
            ..overfull
        };
        [Self::FULL, stretched, crowded, overfull, endless]
    };
}

#[derive(Debug, Clone, Copy)]
struct Label {
    region: Region,
    price: u64,
    delay: u64,
    hops: u64,
    before: usize,
    /// The label that was settled before at the same region.
    next: usize,
}

const NONE: usize = usize::MAX;

/// The order of labels: least price and delay to the end, hops, region, and the label's number.
type Rank = (u64, u64, u64, Region, usize);

/// What a search needs, kept to be used again.
#[derive(Clone, Default)]
pub(crate) struct Search {
    labels: Vec<Label>,
    settled: Vec<usize>,
    queue: BinaryHeap<Reverse<Rank>>,
    price_max: u64,
    /// How many searches are still to be made for better trees.
    pub(crate) left: u32,
}

/// A way, beginning in the tree, and what it adds to the price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) price: u64,
    pub(crate) delay: u64,
    pub(crate) regions: Vec<Region>,
}

impl Search {
    /// The cheapest way to `want`, of equally cheap ones the shortest, then the one with the fewest
    /// hops. With `moving` it may go through regions that are in the tree, if it is there sooner
    /// than the tree: they move to the way. Ways dearer than `price_max` are of no use.
    pub(crate) fn way(
        &mut self,
        task: &Task<'_>,
        sketch: &Sketch,
        want: &Want,
        strictness: Strictness,
        moving: bool,
        price_max: u64,
    ) -> Option<Way> {
        self.price_max = price_max;
        self.left = self.left.saturating_sub(1);
        self.labels.clear();
        self.queue.clear();
        self.settled.clear();
        self.settled.resize(task.net.len(), NONE);
        let has_slot = |region: Region| {
            !strictness.fan_out || sketch.places[region].children < task.slots[region]
        };
        for &member in sketch.members.iter().filter(|&&member| has_slot(member)) {
            let place = &sketch.places[member];
            let label = (0, place.delay, place.hops);
            self.offer(task, want, strictness, member, label, NONE);
        }
        while let Some(Reverse((.., index))) = self.queue.pop() {
            let label = self.labels[index];
            if label.region == want.region {
                return Some(self.trace(index));
            }
            if self.is_beaten(label.region, label.delay, label.hops) {
                continue;
            }
            self.labels[index].next = self.settled[label.region];
            self.settled[label.region] = index;
            if !has_slot(label.region) {
                continue;
            }
            for hop in task.net.hops_from(label.region) {
                let delay = label.delay.saturating_add(hop.round_trip_us);
                let fits = !strictness.capacity || task.fits(label.region, hop);
                let place = &sketch.places[hop.to];
                let is_free = place.delay == NEVER || moving && delay < place.delay;
                if fits && is_free && task.ways.usable(hop.to) {
                    let price = label.price + step_price(task, label.region, hop, strictness);
                    let label = (price, delay, label.hops + 1);
                    self.offer(task, want, strictness, hop.to, label, index);
                }
            }
        }
        None
    }

    /// Queues a label, unless the limits cannot be kept from there on.
    fn offer(
        &mut self,
        task: &Task<'_>,
        want: &Want,
        strictness: Strictness,
        region: Region,
        (price, delay, hops): (u64, u64, u64),
        before: usize,
    ) {
        let left = task.ways.ahead(want.region)[region];
        let total = delay.saturating_add(left.delay);
        let too_long = total == NEVER || strictness.stretch && total > want.delay_max;
        if too_long || strictness.hops && hops.saturating_add(left.hops) > want.hops_max {
            return;
        }
        let least = if strictness == Strictness::FULL && task.warm.is_empty() {
            price.saturating_add(left.price)
        } else {
            price
        };
        if least > self.price_max || self.is_beaten(region, delay, hops) {
            return;
        }
        self.queue
            .push(Reverse((least, total, hops, region, self.labels.len())));
        self.labels.push(Label {
            region,
            price,
            delay,
            hops,
            before,
            next: NONE,
        });
    }

    /// Whether something as cheap was at the region as soon, with as few hops. Labels come in order
    /// of price, so those before are as cheap.
    fn is_beaten(&self, region: Region, delay: u64, hops: u64) -> bool {
        let mut at = self.settled[region];
        while at != NONE {
            let other = &self.labels[at];
            if other.delay <= delay && other.hops <= hops {
                return true;
            }
            at = other.next;
        }
        false
    }

    fn trace(&self, index: usize) -> Way {
        let Label { price, delay, .. } = self.labels[index];
        let mut regions = Vec::new();
        let mut at = index;
        while at != NONE {
            regions.push(self.labels[at].region);
            at = self.labels[at].before;
        }
        regions.reverse();
        Way {
            price,
            delay,
            regions,
        }
    }
}

/// Where limits are given up, only delay counts.
fn step_price(task: &Task<'_>, from: Region, hop: &Hop, strictness: Strictness) -> u64 {
    if strictness == Strictness::FULL {
        task.price(from, hop.to, hop.price)
    } else {
        0
    }
}
