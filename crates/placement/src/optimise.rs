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

/// So many searches are made for better trees of one root, about. Rooms of a few regions need less;
/// those of dozens of regions would keep all others waiting.
const SEARCHES_MAX: u32 = 1_000;

/// Through so many regions that the tree does not have it is led, the most promising first.
const DETOURS_MAX: usize = 4;

/// How often every part of the tree is cut off and joined anew, at most.
const ROUNDS_MAX: usize = 4;

/// The tree made of `start`, whose hops are all there, by joining what is wanted and not in it.
pub(crate) fn complete(task: &Task<'_>, search: &mut Search, start: Sketch) -> Sketch {
    let mut sketch = start;
    sketch.prune(&task.wanted);
    let missing = missing(task, &sketch);
    join_all(task, search, &mut sketch, missing, None);
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
    search.left = SEARCHES_MAX;
    // The cheapest way to one region is the cheapest tree.
    let rounds = if task.wants.len() > 1 { ROUNDS_MAX } else { 0 };
    let mut tried = Tried::default();
    for _ in 0..rounds {
        let before = score;
        cut_and_join(task, search, &mut best, &mut score, &mut tried);
        detour(task, search, &mut best, &mut score, &mut tried);
        if score == before {
            break;
        }
    }
    (best, score)
}

/// What need not be tried again, since the outcome would be the same.
#[derive(Default)]
struct Tried {
    /// Parts that were cut off from the best tree, and when that was the score.
    parts: Vec<Region>,
    score: Score,
    /// Regions through which a tree was led.
    detours: Vec<Region>,
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
fn cut_and_join(
    task: &Task<'_>,
    search: &mut Search,
    best: &mut Sketch,
    score: &mut Score,
    tried: &mut Tried,
) {
    let mut parts: Vec<_> = best.members.clone();
    parts.sort_unstable();
    for part in parts {
        if part == best.root || !best.has(part) || search.left == 0 {
            continue;
        }
        if tried.score != *score {
            tried.parts.clear();
            tried.score = *score;
        }
        if tried.parts.contains(&part) {
            continue;
        }
        tried.parts.push(part);
        let mut rest = best.clone();
        rest.cut(part);
        keep_better(task, search, best, score, rest);
    }
}

/// Leads the tree through regions that it does not have yet, where that is better: two ways may be
/// cheaper when they share one that is dearer for each alone.
fn detour(
    task: &Task<'_>,
    search: &mut Search,
    best: &mut Sketch,
    score: &mut Score,
    tried: &mut Tried,
) {
    let Some(delay_max) = task.wants.iter().map(|want| want.delay_max).max() else {
        return;
    };
    let mut promising: Vec<_> = (0..task.net.len())
        .filter(|&through| task.ways.usable(through) && !best.has(through))
        .filter_map(|through| promise(task, score, through))
        .collect();
    promising.sort_unstable();
    for (_, through) in promising.into_iter().take(DETOURS_MAX) {
        if search.left == 0 {
            return;
        }
        if tried.detours.contains(&through) {
            continue;
        }
        tried.detours.push(through);
        let want = Want {
            region: through,
            delay_max,
            hops_max: u64::MAX - 1,
        };
        let mut trial = Sketch::new(task.net, task.root);
        let way = search.way(task, &trial, &want, Strictness::FULL, true, u64::MAX);
        if let Some(way) = way {
            trial.join(task.net, &way.regions);
            join_missing(task, search, best, score, trial);
        }
    }
}

/// What a tree through a region would cost if ways from there shared nothing more; `None` when it
/// cannot be better.
fn promise(task: &Task<'_>, score: &Score, through: Region) -> Option<(u64, Region)> {
    let (to, root) = (task.ways.price(task.root, through), task.root);
    let mut onward = [u64::MAX; 2];
    let mut sum = to;
    for want in &task.wants {
        let delay =
            (task.ways.delay(root, through)).saturating_add(task.ways.delay(through, want.region));
        let (here, direct) = (
            task.ways.price(through, want.region),
            task.ways.price(root, want.region),
        );
        if delay > want.delay_max {
            sum = sum.saturating_add(direct);
            continue;
        }
        sum = sum.saturating_add(here.min(direct));
        if here < onward[1] {
            onward[1] = here;
            onward.sort_unstable();
        }
    }
    // Two of them at least are to be reached from there.
    let least = to.saturating_add(onward[1]);
    (onward[1] != u64::MAX && !is_settled(task, score, least)).then_some((sum, through))
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
    let onward = missing.iter().map(|want| least_price(task, &trial, want));
    let onward = onward.max().unwrap_or_default();
    let so_far = trial_price(task, &trial);
    if is_settled(task, score, so_far.saturating_add(onward)) {
        return;
    }
    let is_sound = score.0 == Badness::default() && task.warm.is_empty();
    let budget = is_sound.then(|| score.1.saturating_sub(so_far));
    if !join_all(task, search, &mut trial, missing, budget) {
        return;
    }
    trial.prune(&task.wanted);
    let found = task.score(&trial);
    if found < *score {
        (*best, *score) = (trial, found);
    }
}

/// Whether a tree that costs at least so much cannot be better.
fn is_settled(task: &Task<'_>, score: &Score, least: u64) -> bool {
    let is_sound = score.0 == Badness::default();
    // Where nothing has a price, only delay counts; and what is warm costs less than its price.
    is_sound && score.1 > 0 && least >= score.1 && task.warm.is_empty()
}

fn trial_price(task: &Task<'_>, trial: &Sketch) -> u64 {
    let hops = trial.members.iter().filter_map(|&member| {
        let parent = trial.places[member].parent;
        Some(task.net.hop(parent, member)?.price)
    });
    hops.sum()
}

/// What is wanted and not in the tree, or too far down in it, the nearest to the root first.
fn missing<'a>(task: &'a Task<'_>, sketch: &Sketch) -> Vec<&'a Want> {
    let mut missing: Vec<_> = (task.wants.iter())
        .filter(|want| !sketch.meets(want))
        .collect();
    missing.sort_by_key(|want| (task.ways.delay(task.root, want.region), want.region));
    missing
}

/// Joins what is missing; gives up, and says so, when a way costs more than is left of the budget.
/// A way that takes over regions may save more than it costs, which is let go.
fn join_all(
    task: &Task<'_>,
    search: &mut Search,
    sketch: &mut Sketch,
    mut missing: Vec<&Want>,
    mut budget: Option<u64>,
) -> bool {
    while !missing.is_empty() {
        let compared = if missing.len() > ALL_COMPARED_MAX {
            1
        } else {
            missing.len()
        };
        let mut ways: Vec<_> = (missing[..compared].iter().enumerate())
            .filter(|(_, want)| !sketch.meets(want))
            .map(|(index, want)| (least_price(task, sketch, want), index))
            .collect();
        // What may be cheapest first: with its price most of the others need no search.
        ways.sort_unstable();
        let mut limit = budget.unwrap_or(u64::MAX);
        let next = (ways.into_iter())
            .filter_map(|(least, index)| {
                if least > limit {
                    return None;
                }
                let want = missing[index];
                let way = search.way(task, sketch, want, Strictness::FULL, true, limit)?;
                limit = limit.min(way.price);
                Some((way.price, way.delay, index, way))
            })
            .min_by_key(|&(price, delay, index, _)| (price, delay, index));
        match next {
            Some((.., index, way)) => {
                let want = missing.remove(index);
                budget = budget.map(|budget| budget.saturating_sub(way.price));
                if !try_join(task, sketch, &way) {
                    join_somehow(task, search, sketch, want);
                }
            }
            None => {
                let want = missing.remove(0);
                if !sketch.meets(want) {
                    if budget.is_some() {
                        return false;
                    }
                    join_somehow(task, search, sketch, want);
                }
            }
        }
    }
    true
}

/// What joining a wanted region costs at least.
fn least_price(task: &Task<'_>, sketch: &Sketch, want: &Want) -> u64 {
    if !task.warm.is_empty() {
        return 0;
    }
    let ahead = task.ways.ahead(want.region);
    let prices = sketch.members.iter().map(|&member| ahead[member].price);
    prices.min().unwrap_or_default()
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
        .find_map(|&strictness| search.way(task, sketch, want, strictness, false, u64::MAX));
    if let Some(way) = way {
        sketch.join(task.net, &way.regions);
    }
}
