//! A relay tree over regions, while it is being searched for.

use crate::limits::Badness;
use crate::load::Load;
use crate::net::{Hop, NEVER, Net, Region, Ways};

/// What a tree over regions has to do.
pub(crate) struct Task<'a> {
    pub(crate) net: &'a Net,
    pub(crate) ways: &'a Ways,
    pub(crate) load: &'a Load,
    /// Whether every link has room for the stream.
    pub(crate) is_roomy: bool,
    pub(crate) root: Region,
    pub(crate) wants: Vec<Want>,
    /// Which regions are wanted.
    pub(crate) wanted: Vec<bool>,
    /// How many others each region can feed.
    pub(crate) slots: Vec<u32>,
    /// Hops that cost nothing, since the stream takes them anyway.
    pub(crate) warm: Vec<(Region, Region)>,
    pub(crate) bps: u64,
}

/// A region that wants the stream, and how it may arrive there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) region: Region,
    pub(crate) delay_max: u64,
    pub(crate) hops_max: u64,
}

/// How good a tree is, the less the better: limits broken, price, delay of all wanted regions.
pub(crate) type Score = (Badness, u64, u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sketch {
    pub(crate) root: Region,
    /// In no particular order.
    pub(crate) members: Vec<Region>,
    pub(crate) places: Vec<Place>,
}

/// Where a region is in the tree; [`NEVER`] as delay when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) parent: Region,
    pub(crate) delay: u64,
    pub(crate) hops: u64,
    pub(crate) children: u32,
}

const NOWHERE: Place = Place {
    parent: usize::MAX,
    delay: NEVER,
    hops: NEVER,
    children: 0,
};

impl Task<'_> {
    /// What a hop adds to the tree's price.
    pub(crate) fn price(&self, from: Region, to: Region, price: u64) -> u64 {
        if self.warm.contains(&(from, to)) {
            0
        } else {
            price
        }
    }

    /// Whether a link has room for the stream.
    pub(crate) fn fits(&self, from: Region, hop: &Hop) -> bool {
        self.is_roomy || self.load.takes(from, hop, self.bps)
    }

    pub(crate) fn score(&self, sketch: &Sketch) -> Score {
        let mut badness = Badness::default();
        let (mut price, mut delay) = (0u64, 0u64);
        for want in &self.wants {
            let place = &sketch.places[want.region];
            badness[0] += u32::from(place.delay == NEVER);
            badness[1] += u32::from(place.delay != NEVER && place.hops > want.hops_max);
            badness[4] += u32::from(place.delay != NEVER && place.delay > want.delay_max);
            delay = delay.saturating_add(place.delay);
        }
        for &member in &sketch.members {
            let place = &sketch.places[member];
            badness[3] += u32::from(place.children > self.slots[member]);
            if member == sketch.root {
                continue;
            }
            if let Some(hop) = self.net.hop(place.parent, member) {
                badness[2] += u32::from(!self.fits(place.parent, hop));
                price = price.saturating_add(self.price(place.parent, member, hop.price));
            }
        }
        (badness, price, delay)
    }
}

impl Sketch {
    pub(crate) fn new(net: &Net, root: Region) -> Self {
        let mut places = vec![NOWHERE; net.len()];
        places[root] = Place {
            parent: root,
            delay: 0,
            hops: 0,
            children: 0,
        };
        Self {
            root,
            members: vec![root],
            places,
        }
    }

    pub(crate) fn has(&self, region: Region) -> bool {
        self.places[region].delay != NEVER
    }

    /// Whether a wanted region is in the tree, and as it is to be.
    pub(crate) fn meets(&self, want: &Want) -> bool {
        let place = &self.places[want.region];
        place.delay <= want.delay_max && place.hops <= want.hops_max
    }

    /// Hangs each region of a way on the one before it, whether it is new or had another parent.
    /// The way begins in the tree, and reaches what is in the tree sooner than before; so nothing
    /// hangs below itself afterwards.
    pub(crate) fn join(&mut self, net: &Net, way: &[Region]) {
        let mut moved = false;
        for hop in way.windows(2) {
            let (from, to) = (hop[0], hop[1]);
            let is_new = !self.has(to);
            if is_new {
                self.members.push(to);
            } else if self.places[to].parent == from {
                continue;
            } else {
                self.leave(to);
                moved = true;
            }
            self.places[from].children += 1;
            self.places[to].parent = from;
            let step = net.hop(from, to).map_or(NEVER, |hop| hop.round_trip_us);
            self.places[to].delay = self.places[from].delay.saturating_add(step);
            self.places[to].hops = self.places[from].hops + 1;
        }
        if moved {
            self.refresh(net);
        }
    }

    /// The parent of a region has a child less.
    fn leave(&mut self, region: Region) {
        let parent = self.places[region].parent;
        self.places[parent].children -= 1;
    }

    /// Delays and hops anew from the parents.
    fn refresh(&mut self, net: &Net) {
        for index in 0..self.members.len() {
            let (mut delay, mut hops) = (0u64, 0);
            let mut at = self.members[index];
            while at != self.root {
                let parent = self.places[at].parent;
                let step = net.hop(parent, at).map_or(NEVER, |hop| hop.round_trip_us);
                delay = delay.saturating_add(step);
                hops += 1;
                at = parent;
            }
            let place = &mut self.places[self.members[index]];
            (place.delay, place.hops) = (delay, hops);
        }
    }

    /// Whether `region` is `above` or receives through it.
    fn is_below(&self, region: Region, above: Region) -> bool {
        let mut at = region;
        while at != above {
            if at == self.root {
                return false;
            }
            at = self.places[at].parent;
        }
        true
    }

    /// Takes out a region, other than the root, and everything below it.
    pub(crate) fn cut(&mut self, region: Region) {
        let below: Vec<_> = (self.members.iter().copied())
            .filter(|&member| self.is_below(member, region))
            .collect();
        self.leave(region);
        self.members.retain(|member| !below.contains(member));
        for region in below {
            self.places[region] = NOWHERE;
        }
    }

    /// Takes out what feeds nobody and is not wanted.
    pub(crate) fn prune(&mut self, wanted: &[bool]) {
        let is_idle = |sketch: &Self, region: Region| {
            region != sketch.root && sketch.places[region].children == 0 && !wanted[region]
        };
        while let Some(index) =
            (0..self.members.len()).find(|&index| is_idle(self, self.members[index]))
        {
            let region = self.members.swap_remove(index);
            self.leave(region);
            self.places[region] = NOWHERE;
        }
    }
}
