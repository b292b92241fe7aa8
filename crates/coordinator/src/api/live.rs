//! The mesh as it is and what happens in it, second by second, for the page of those who run it.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_types::ids::MeetingId;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::auth::Caller;
use super::ops::operator;
use super::problem::Problem;
use crate::feed::Watch;
use crate::registry::Registry;
use crate::state::Shared;

/// How often the state is told.
const INTERVAL: Duration = Duration::from_secs(1);

/// Rooms that the state names, the largest first. Any room can be chosen by its id.
const ROOMS_MAX: usize = 100;

/// How long one answer lasts; who watches asks again, and shows again that it may.
const LASTS: Duration = Duration::from_secs(600);

/// What to watch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiveQuery {
    /// The room whose trees are told.
    room: Option<MeetingId>,
}

/// `GET /v1/ops/live`: server-sent events `map`, `state` and `happening`.
pub(super) async fn live(
    State(shared): State<Shared>,
    caller: Caller,
    query: Result<Query<LiveQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    operator(caller)?;
    let Query(query) = query?;
    let watch = shared.feed.watch();
    let watch = watch.ok_or_else(|| Problem::unavailable("too many watch already"))?;
    let stream = events(shared, query.room, watch);
    // Without this, proxies such as nginx gather events until their buffer is full.
    let fields = [
        (header::CACHE_CONTROL.as_str(), "no-store"),
        ("x-accel-buffering", "no"),
    ];
    Ok((fields, Sse::new(stream).keep_alive(KeepAlive::default())).into_response())
}

struct Watching {
    shared: Shared,
    room: Option<MeetingId>,
    watch: Watch,
    ticks: Interval,
    /// What is to be told before anything else.
    pending: VecDeque<Event>,
    end: Instant,
}

fn events(
    shared: Shared,
    room: Option<MeetingId>,
    watch: Watch,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pending = VecDeque::from([event("map", &map(&shared.registry()))]);
    pending.extend(
        watch
            .recent
            .iter()
            .map(|known| event("happening", &**known)),
    );
    let watching = Watching {
        shared,
        room,
        watch,
        ticks,
        pending,
        end: Instant::now() + LASTS,
    };
    unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok(event), watching))
    })
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        tokio::select! {
            _ = self.ticks.tick() => {
                (Instant::now() < self.end)
                    .then(|| event("state", &state(&self.shared.registry(), self.room.as_ref())))
            }
            happening = self.watch.happenings.recv() => match happening {
                Ok(happening) => Some(event("happening", &*happening)),
                Err(RecvError::Lagged(missed)) => Some(event("missed", &missed)),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // All of it is plain data, which always is JSON.
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_default()
}

/// What the topology declares.
fn map(registry: &Registry) -> Value {
    let topology = registry.topology();
    let regions = topology.regions().iter().map(|region| {
        json!({
            "region": region.name(),
            "display_name": region.display_name(),
            "latitude": region.position().latitude(),
            "longitude": region.position().longitude(),
            "edges": region.edges().iter().map(|edge| edge.id()).collect::<Vec<_>>(),
        })
    });
    let links = topology.links().iter().map(|link| {
        json!({
            "ends": link.ends(),
            "round_trip_ms": link.round_trip().0,
            "capacity_mbps": link.capacity().as_bps() / 1_000_000,
        })
    });
    json!({
        "mesh": topology.name(),
        "regions": regions.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
    })
}

/// What edges reported last.
fn state(registry: &Registry, chosen: Option<&MeetingId>) -> Value {
    let edges = registry.edges().map(|(id, edge)| {
        json!({
            "edge": id,
            "region": edge.registration.region,
            "participants": edge.heartbeat.participants,
            "capacity": edge.registration.capacity,
            "load_permille": edge.heartbeat.load_permille,
            "rooms": edge.heartbeat.rooms.len(),
            "draining": edge.draining,
            "software": edge.registration.software,
            "links": edge.heartbeat.links,
        })
    });
    let (mut participants, mut rooms) = (0, Vec::new());
    for (id, epoch, count, trees) in registry.rooms() {
        participants += count;
        rooms.push((count, id, epoch, trees));
    }
    let count = rooms.len();
    let room = rooms.iter().find(|(_, id, ..)| Some(*id) == chosen);
    let room = room.map(|(count, id, epoch, trees)| {
        let reports = registry.edges().flat_map(|(edge, state)| {
            let rooms = state.heartbeat.rooms.iter();
            let reported = rooms.filter(|report| report.room == **id);
            reported.map(move |report| json!({ "edge": edge, "report": report }))
        });
        json!({
            "room": id,
            "epoch": epoch,
            "participants": count,
            "trees": trees,
            "edges": reports.collect::<Vec<_>>(),
        })
    });
    if count > ROOMS_MAX {
        rooms.select_nth_unstable_by_key(ROOMS_MAX, |(count, id, ..)| (Reverse(*count), *id));
        rooms.truncate(ROOMS_MAX);
    }
    rooms.sort_unstable_by_key(|(count, id, ..)| (Reverse(*count), *id));
    let rooms = rooms.iter().map(|(count, id, epoch, trees)| {
        json!({ "room": id, "epoch": epoch, "participants": count, "trees": trees.len() })
    });
    json!({
        "participants": participants,
        "rooms_count": count,
        "edges": edges.collect::<Vec<_>>(),
        "rooms": rooms.collect::<Vec<_>>(),
        "room": room,
    })
}
