//! Trees over regions that were found before. Most rooms are in a few regions and ask for the same
//! trees as others do; where nothing but the graph decides, the answer is the same too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::limits::Limits;
use crate::net::{Net, Region};
use crate::sketch::Sketch;

/// The most trees that are kept for one graph, each a few hundred bytes at most. When there are more
/// than these, all are forgotten and found again as they are asked for.
const TREES_MAX: usize = 65_536;

/// All that decides a tree over regions on one graph, as long as every link has room for the stream
/// and no hop is warm.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The number of [`crate::net::Ways`] over which it leads.
    pub(crate) ways: u64,
    pub(crate) root: Region,
    pub(crate) limits: Limits,
    /// The wanted regions, in order, and whether several of their edges want the stream.
    pub(crate) wanted: Vec<(Region, bool)>,
    /// Regions that may be asked to feed more others than they can, and how many they can.
    pub(crate) scarce: Vec<(Region, u32)>,
}

/// Each hop with the region that sends and the one that receives; parents before children.
type Hops = Box<[[Region; 2]]>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Found {
    trees: Mutex<HashMap<Question, Hops>>,
}

impl Found {
    /// What was found before, or else is found now.
    pub(crate) fn or_find(
        &self,
        net: &Net,
        question: Question,
        find: impl FnOnce() -> Sketch,
    ) -> Sketch {
        let lock = || self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hops) = lock().get(&question) {
            let mut sketch = Sketch::new(net, question.root);
            for hop in hops {
                sketch.join(net, hop);
            }
            return sketch;
        }
        let sketch = find();
        let mut trees = lock();
        if trees.len() >= TREES_MAX {
            trees.clear();
        }
        trees.insert(question, hops(&sketch));
        sketch
    }
}

fn hops(sketch: &Sketch) -> Hops {
    let mut members: Vec<_> = sketch.members.clone();
    // Every hop takes some time.
    members.sort_unstable_by_key(|&member| (sketch.places[member].delay, member));
    let below = members.into_iter().filter(|&member| member != sketch.root);
    below
        .map(|member| [sketch.places[member].parent, member])
        .collect()
}
