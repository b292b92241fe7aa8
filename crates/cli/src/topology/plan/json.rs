//! The plan for programs.

use serde_json::{Value, json};
use sluice_placement::forecast::{Failed, Failure, Forecast, Hour, Percentiles, Scene};
use sluice_types::topology::{Change, How};

use super::Plan;

pub(super) fn plan(plan: &Plan) -> Value {
    json!({
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "scene": {
            "people": plan.scene.people,
            "seed": plan.scene.seed,
            "days_a_month": plan.scene.days_a_month,
            "busiest_hour_utc": Scene::busiest_hour(),
        },
        "moves": {
            "hour_utc": plan.moves.hour,
            "people": plan.moves.people,
            "meetings": plan.moves.meetings,
            "meetings_rerouted": plan.moves.rerouted,
        },
        "before": forecast(&plan.before),
        "after": forecast(&plan.after),
    })
}

fn change(change: &Change) -> Value {
    let (how, values) = match &change.how {
        How::Added => ("added", &[][..]),
        How::Removed => ("removed", &[][..]),
        How::Changed(values) => ("changed", values.as_slice()),
    };
    let values = values
        .iter()
        .map(|value| json!({ "key": value.key, "before": value.before, "after": value.after }));
    json!({
        "part": change.part.as_str(),
        "name": change.name,
        "how": how,
        "values": values.collect::<Vec<_>>(),
    })
}

fn forecast(forecast: &Forecast) -> Value {
    let delays = forecast.mouth_to_ear_ms.iter();
    let delays = delays.map(|((a, b), millis)| json!({ "between": [a, b], "ms": millis }));
    let links = forecast.links.iter().map(|((from, to), link)| {
        json!({
            "from": from,
            "to": to,
            "load_bps": link.load.as_bps(),
            "capacity_bps": link.capacity.as_bps(),
            "usd_per_gb": link.price.as_usd_per_gb(),
        })
    });
    json!({
        "served": forecast.served,
        "unserved": forecast.unserved,
        "people": forecast.people,
        "distance_km": percentiles(&forecast.distance_km),
        "round_trip_ms": percentiles(&forecast.round_trip_ms),
        "mouth_to_ear": delays.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "day": forecast.day.iter().enumerate().map(hour).collect::<Vec<_>>(),
        "usd_a_month": forecast.usd_a_month,
        "meetings_that_break_a_limit": forecast.broken,
        "failures": forecast.failures.iter().map(failed).collect::<Vec<_>>(),
    })
}

fn hour((hour, of): (usize, &Hour)) -> Value {
    let fullest = of
        .fullest
        .as_ref()
        .map(|((from, to), share)| json!({ "from": from, "to": to, "share": share }));
    json!({
        "hour_utc": hour,
        "people": of.people,
        "unserved": of.unserved,
        "fullest_link": fullest,
        "usd": of.micro_usd as f64 / 1e6,
    })
}

fn percentiles(of: &Percentiles) -> Value {
    json!({ "p50": of.p50, "p90": of.p90, "p95": of.p95, "p99": of.p99, "max": of.max })
}

fn failed(failed: &Failed) -> Value {
    let what = match &failed.what {
        Failure::Link(a, b) => json!({ "link": [a, b] }),
        Failure::Region(region) => json!({ "region": region }),
    };
    json!({
        "what": what,
        "hurts": failed.hurts(),
        "people_who_move": failed.moved,
        "people_without_a_place": failed.unserved,
        "round_trip_ms": percentiles(&failed.round_trip_ms),
        "meetings_that_break_a_limit": failed.broken,
        "links_that_are_full": failed.full,
    })
}
