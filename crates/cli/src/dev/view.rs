//! Which room, track and relay runs where, as text.

use std::fmt::Write;

use serde_json::Value;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Draws the state of a mesh; with counts that change all the time only when `live`.
pub(super) fn draw(state: &Value, live: bool) -> String {
    let mut out = String::new();
    for room in list(&state["rooms"]) {
        let _ = writeln!(
            out,
            "room {}  plan {}  {} in",
            text(&room["room"]),
            room["epoch"],
            room["participants"]
        );
        for tree in list(&room["trees"]) {
            let branches: Vec<_> = list(&tree["branches"])
                .map(|branch| format!("{} ← {}", text(&branch["edge"]), text(&branch["parent"])))
                .collect();
            if !branches.is_empty() {
                let _ = writeln!(
                    out,
                    "  tree of {}: {}",
                    text(&tree["root"]),
                    branches.join(", ")
                );
            }
        }
        draw_tracks(&mut out, state, &room["room"], live);
    }
    if out.is_empty() {
        out.push_str("nobody is in a meeting\n");
    }
    if live {
        draw_edges(&mut out, state);
    }
    out
}

fn draw_tracks(out: &mut String, state: &Value, room: &Value, live: bool) {
    let packets = |of: &Value| {
        if live {
            format!("  {} packets", of["packets"])
        } else {
            String::new()
        }
    };
    for edge in list(&state["edges"]) {
        for report in list(&edge["rooms"]).filter(|report| report["room"] == *room) {
            for track in list(&report["tracks"]) {
                let _ = writeln!(
                    out,
                    "  {:<16} {} of {}{}",
                    text(&edge["edge"]),
                    text(&track["kind"]),
                    text(&track["name"]),
                    packets(track)
                );
            }
            for relay in list(&report["relays"]) {
                let _ = writeln!(
                    out,
                    "  {:<16} {} from {} (published at {}){}",
                    text(&edge["edge"]),
                    text(&relay["kind"]),
                    text(&relay["from"]),
                    text(&relay["root"]),
                    packets(relay)
                );
            }
        }
    }
}

fn draw_edges(out: &mut String, state: &Value) {
    let _ = writeln!(out);
    for edge in list(&state["edges"]) {
        let links: Vec<_> = list(&edge["links"])
            .map(|link| {
                let ms = link["round_trip_us"].as_f64().unwrap_or(0.0) / 1e3;
                let loss = link["loss_ppm"].as_f64().unwrap_or(0.0) / 1e4;
                format!("{} {ms:.1} ms {loss:.1} %", text(&link["peer"]))
            })
            .collect();
        let _ = writeln!(
            out,
            "{:<16} {} participants, load {:.1} %  {}",
            text(&edge["edge"]),
            edge["participants"],
            edge["load_permille"].as_f64().unwrap_or(0.0) / 10.0,
            links.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_relay_is_shown_where_it_arrives() {
        let state = json!({
            "rooms": [{ "room": "mtg_1", "epoch": 3, "participants": 2, "trees": [
                { "root": "paris-1", "branches": [{ "edge": "tokyo-1", "parent": "paris-1" }] },
            ]}],
            "edges": [{ "edge": "tokyo-1", "participants": 1, "load_permille": 12, "links": [], "rooms": [
                { "room": "mtg_1", "tracks": [], "relays": [{ "kind": "video", "from": "paris-1", "root": "paris-1", "packets": 7 }] },
            ]}],
        });
        let drawn = draw(&state, false);
        assert!(
            drawn.contains("tree of paris-1: tokyo-1 ← paris-1"),
            "{drawn}"
        );
        assert!(
            drawn.contains("video from paris-1 (published at paris-1)\n"),
            "{drawn}"
        );
        assert!(draw(&state, true).contains("7 packets"));
        assert!(draw(&json!({}), false).contains("nobody"));
    }
}
