//! The cheapest tree over regions within limits, as near as can be had quickly.
//!
//! Price and delay are different weights of directed links, and every wanted region has a bound on
//! its delay. For this no constant factor is known (shallow-light trees that have one, such as LAST
//! of Khuller, Raghavachari and Young 1995, need one undirected weight for both). What is done is
//! the path heuristic of Takahashi and Matsuyama (1980) with delays bounded as by Kompella, Pasquale
//! and Polyzos (1993): of the wanted regions that are left, the one with the cheapest way from the
//! tree joins it. A way may take over regions of the tree where it is sooner, so that a region's
//! cheapest way from the root is always among its choices. That way is never dearer than the optimal
//! tree, which has one too: so with `k` wanted regions the price is at most `k` times the optimum, as
//! long as no limit other than stretch binds. Then parts are cut off and joined anew as long as that
//! helps (local search), which never makes it dearer; on realistic meshes that gets within a few
//! per cent of the optimum (docs/BENCHMARKS.md).

use crate::limits::Badness;
use crate::net::Region;
use crate::sketch::{Score, Sketch, Task, Want};
use crate::way::{Search, Strictness, Way};

/// With more wanted regions than this, they join in order of delay rather than of price.
const ALL_COMPARED_MAX: usize = 8;

/// Where a limit seems to be broken, so many wanted regions are joined in each order.
const ALL_ORDERS_MAX: usize = 4;

/// How often every part of the tree is cut off and joined anew, at most.
const ROUNDS_MAX: usize = 4;

/// The tree made of `start`, whose hops are all there, by joining what is wanted and not in it.
pub(crate) fn complete(task: &Task<'_>, search: &mut Search, start: Sketch) -> Sketch {
    let mut sketch = start;
    sketch.prune(&task.wanted);
    let missing = missing(task, &sketch);
    join_all(task, search, &mut sketch, missing);
    sketch.prune(&task.wanted);
    sketch
}

/// The best tree that is found, and how good it is.
pub(crate) fn optimise(task: &Task<'_>, search: &mut Search) -> (Sketch, Score) {
    let mut best = complete(task, search, Sketch::new(task.net, task.root));
    let mut score = task.score(&best);
    if score.0 != Badness::default() && task.wants.len() <= ALL_ORDERS_MAX {
        in_all_orders(task, search, &mut best, &mut score);
    }
    for _ in 0..ROUNDS_MAX {
        let before = score;
        cut_and_join(task, search, &mut best, &mut score);
        detour(task, search, &mut best, &mut score);
        if score == before {
            break;
        }
    }
    (best, score)
}

/// Joins the wanted regions in each order until one keeps to the limits: when an edge feeds few
/// others, it matters who comes first.
fn in_all_orders(task: &Task<'_>, search: &mut Search, best: &mut Sketch, score: &mut Score) {
    let wants = task.wants.len();
    let orders: usize = (1..=wants).product();
    for order in 0..orders {
        let mut left: Vec<_> = task.wants.iter().collect();
        let mut trial = Sketch::new(task.net, task.root);
        let mut number = order;
        while !left.is_empty() {
            let want = left.remove(number % left.len());
            number /= left.len() + 1;
            if !trial.meets(want) {
                join_somehow(task, search, &mut trial, want);
            }
        }
        trial.prune(&task.wanted);
        let found = task.score(&trial);
        if found < *score {
            (*best, *score) = (trial, found);
        }
        if score.0 == Badness::default() {
            return;
        }
    }
}

/// Cuts off each part in turn and joins it anew, where that is better.
fn cut_and_join(task: &Task<'_>, search: &mut Search, best: &mut Sketch, score: &mut Score) {
    let mut parts: Vec<_> = best.members.clone();
    parts.sort_unstable();
    for part in parts {
        if part == best.root || !best.has(part) {
            continue;
        }
        let mut rest = best.clone();
        rest.cut(part);
        keep_better(task, search, best, score, rest);
    }
}

/// Leads the tree through each region that it does not have yet, where that is better: two ways
/// may be cheaper when they share one that is dearer for each alone.
fn detour(task: &Task<'_>, search: &mut Search, best: &mut Sketch, score: &mut Score) {
    let delay_max = task.wants.iter().map(|want| want.delay_max).max();
    let (Some(delay_max), true) = (delay_max, task.wants.len() > 1) else {
        return;
    };
    for through in 0..task.net.len() {
        let useful = |want: &&Want| {
            let delay = (task.ways.delay(task.root, through))
                .saturating_add(task.ways.delay(through, want.region));
            delay <= want.delay_max
        };
        let is_new = task.ways.usable(through) && !best.has(through);
        if !is_new || task.wants.iter().filter(useful).count() < 2 {
            continue;
        }
        let want = Want {
            region: through,
            delay_max,
            hops_max: u64::MAX - 1,
        };
        let mut trial = Sketch::new(task.net, task.root);
        if let Some(way) = search.way(task, &trial, &want, Strictness::FULL, true) {
            // Not even the way there is cheap enough.
            if score.0 == Badness::default() && way.price >= score.1 {
                continue;
            }
            trial.join(task.net, &way.regions);
            join_missing(task, search, best, score, trial);
        }
    }
}

fn keep_better(
    task: &Task<'_>,
    search: &mut Search,
    best: &mut Sketch,
    score: &mut Score,
    mut rest: Sketch,
) {
    rest.prune(&task.wanted);
    join_missing(task, search, best, score, rest);
}

fn join_missing(
    task: &Task<'_>,
    search: &mut Search,
    best: &mut Sketch,
    score: &mut Score,
    mut trial: Sketch,
) {
    let missing = missing(task, &trial);
    join_all(task, search, &mut trial, missing);
    trial.prune(&task.wanted);
    let found = task.score(&trial);
    if found < *score {
        (*best, *score) = (trial, found);
    }
}

/// What is wanted and not in the tree, or too far down in it, the nearest to the root first.
fn missing<'a>(task: &'a Task<'_>, sketch: &Sketch) -> Vec<&'a Want> {
    let mut missing: Vec<_> = (task.wants.iter())
        .filter(|want| !sketch.meets(want))
        .collect();
    missing.sort_by_key(|want| (task.ways.delay(task.root, want.region), want.region));
    missing
}

fn join_all(task: &Task<'_>, search: &mut Search, sketch: &mut Sketch, mut missing: Vec<&Want>) {
    while !missing.is_empty() {
        let compared = if missing.len() > ALL_COMPARED_MAX {
            1
        } else {
            missing.len()
        };
        let ways = missing[..compared].iter().enumerate();
        let next = ways
            .filter(|(_, want)| !sketch.meets(want))
            .filter_map(|(index, want)| {
                let way = search.way(task, sketch, want, Strictness::FULL, true)?;
                Some((way.price, way.delay, index, way))
            })
            .min_by_key(|&(price, delay, index, _)| (price, delay, index));
        match next {
            Some((.., index, way)) => {
                let want = missing.remove(index);
                if !try_join(task, sketch, &way) {
                    join_somehow(task, search, sketch, want);
                }
            }
            None => {
                let want = missing.remove(0);
                if !sketch.meets(want) {
                    join_somehow(task, search, sketch, want);
                }
            }
        }
    }
}

/// Joins a way, unless what it takes over would have too many hops then.
fn try_join(task: &Task<'_>, sketch: &mut Sketch, way: &Way) -> bool {
    let takes_over = |region: &Region| sketch.has(*region);
    if !way.regions[1..].iter().any(takes_over) {
        sketch.join(task.net, &way.regions);
        return true;
    }
    let mut trial = sketch.clone();
    trial.join(task.net, &way.regions);
    let hops = |sketch: &Sketch, want: &Want| sketch.places[want.region].hops;
    let holds = task.wants.iter().all(|want| {
        !sketch.has(want.region) || hops(&trial, want) <= want.hops_max.max(hops(sketch, want))
    });
    if holds {
        // Where a way of its own led before, nothing may be left.
        trial.prune(&task.wanted);
        *sketch = trial;
    }
    holds
}

/// Joins a wanted region without moving others, with as few limits given up as can be.
fn join_somehow(task: &Task<'_>, search: &mut Search, sketch: &mut Sketch, want: &Want) {
    let way = (Strictness::STEPS.iter())
        .find_map(|&strictness| search.way(task, sketch, want, strictness, false));
    if let Some(way) = way {
        sketch.join(task.net, &way.regions);
    }
}
