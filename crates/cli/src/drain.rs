//! `sluice edge drain`: empties a running edge.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use sluice_types::ids::EdgeId;

use crate::ops::OpsArgs;
use crate::process::{failed, start_logs};

/// How often the edge is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Flags of `sluice edge drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The edge
    id: EdgeId,
    #[command(flatten)]
    ops: OpsArgs,
    /// Seconds to wait until nobody is there and nothing passes it
    #[arg(long = "for", default_value_t = 60)]
    seconds: u64,
}

/// What is left at an edge: participants, and rooms that pass it.
fn left(state: &Value, edge: &EdgeId) -> Option<(u64, usize)> {
    let id = edge.as_str();
    let found = state["edges"]
        .as_array()?
        .iter()
        .find(|one| one["edge"] == id)?;
    let rooms = state["rooms"].as_array()?.iter();
    let passing = rooms.filter(|room| {
        let trees = room["trees"].as_array().into_iter().flatten();
        trees.into_iter().any(|tree| {
            let mut branches = tree["branches"].as_array().into_iter().flatten();
            tree["root"] == id || branches.any(|branch| branch["edge"] == id)
        })
    });
    Some((found["participants"].as_u64()?, passing.count()))
}

fn drain(args: &DrainArgs) -> Result<(), String> {
    let ask = |method: Method, path: &str| {
        let asked = args.ops.ask::<Value>(method, path, None::<&()>);
        asked.map_err(|error| error.to_string())
    };
    ask(Method::POST, &format!("/v1/ops/edges/{}/drain", args.id))?;
    let began = Instant::now();
    loop {
        let state = ask(Method::GET, "/v1/ops/state")?;
        let Some((participants, rooms)) = left(&state, &args.id) else {
            return Ok(());
        };
        if (participants, rooms) == (0, 0) {
            // Nobody reads it when this fails.
            let _ = writeln!(std::io::stdout(), "{} is empty: it may be stopped", args.id);
            return Ok(());
        }
        if began.elapsed() >= Duration::from_secs(args.seconds) {
            return Err(format!(
                "{} still has {participants} participants, and {rooms} rooms pass it",
                args.id
            ));
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs the command. The exit code is 0 when the edge is empty.
pub(crate) fn run(args: &DrainArgs) -> ExitCode {
    start_logs();
    match drain(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_counts_carriers_too() {
        let state = json!({
            "edges": [{ "edge": "mumbai-1", "participants": 0 }],
            "rooms": [
                { "trees": [{ "root": "paris-1", "branches": [{ "edge": "mumbai-1" }] }] },
                { "trees": [{ "root": "paris-1", "branches": [{ "edge": "tokyo-1" }] }] },
            ],
        });
        let edge = |name: &str| name.parse::<EdgeId>().expect("an edge");
        assert_eq!(left(&state, &edge("mumbai-1")), Some((0, 1)));
        assert_eq!(left(&state, &edge("sydney-1")), None);
    }
}
