//! `sluice room`: what a running mesh does for one meeting.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use sluice_types::ids::MeetingId;
use sluice_types::rest::{MeetingExplanation, TreeExplanation};
use sluice_types::room::MediaKind;
use sluice_types::units::Bitrate;

use crate::ops::OpsArgs;

/// Flags of `sluice room`.
#[derive(Debug, Args)]
pub(crate) struct RoomArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Why the meeting's tracks travel as they do: path, delay, cost, next best, backup.
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// The meeting
    id: MeetingId,
    #[command(flatten)]
    ops: OpsArgs,
    /// Print what the coordinator answers, as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 0 when the meeting was explained, else 1.
pub(crate) fn run(args: RoomArgs) -> ExitCode {
    let Command::Explain(args) = args.command;
    let path = format!("/v1/meetings/{}/explain", args.id);
    let asked = args.ops.ask(Method::GET, &path, None::<&()>);
    let result = asked.map_err(|error| error.to_string());
    let shown = result.and_then(|explanation: MeetingExplanation| {
        let mut out = io::stdout().lock();
        let written = if args.json {
            serde_json::to_string_pretty(&explanation)
                .map_err(io::Error::other)
                .and_then(|text| writeln!(out, "{text}"))
        } else {
            show(&mut out, &explanation)
        };
        match written {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
            _ => Ok(()),
        }
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last place left to complain to.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(out: &mut dyn Write, explanation: &MeetingExplanation) -> io::Result<()> {
    let MeetingExplanation {
        meeting,
        epoch,
        broken,
        trees,
    } = explanation;
    writeln!(out, "{meeting}, plan {epoch}")?;
    for broken in broken {
        writeln!(out, "  broken: {broken}")?;
    }
    for tree in trees {
        writeln!(out, "\nfrom {}: {}", tree.root, what(tree))?;
        if tree.edges.is_empty() {
            writeln!(out, "  to nobody else")?;
        }
        for edge in &tree.edges {
            writeln!(out, "  to {}, since plan {}", edge.edge, edge.since)?;
            writeln!(out, "    {}", edge.text)?;
        }
    }
    Ok(())
}

/// Which tracks a tree has.
fn what(tree: &TreeExplanation) -> String {
    let planned = Bitrate::bps(tree.bitrate_bps);
    let tracks = tree.tracks.iter().map(|track| {
        let kind = match track.kind {
            MediaKind::Audio => "sound",
            MediaKind::Video => "pictures",
        };
        format!("{}'s {kind} ({})", track.name, track.track)
    });
    let tracks: Vec<_> = tracks.collect();
    if tracks.is_empty() {
        format!("no tracks, planned with {planned}")
    } else {
        format!("{}, planned with {planned}", tracks.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_names_tracks_paths_and_plans() {
        let explanation = serde_json::from_value(json!({
            "meeting": "mtg_0000000000",
            "epoch": 7,
            "broken": ["something"],
            "trees": [{
                "root": "paris-1",
                "bitrate_bps": 2_570_000,
                "tracks": [{ "track": "tr_00000000", "kind": "video", "name": "Ada" }],
                "edges": [{
                    "edge": "tokyo-1",
                    "path": ["paris-1", "tokyo-1"],
                    "since": 5,
                    "round_trip_us": 200_000,
                    "measured": true,
                    "shortest_us": 200_000,
                    "allowed_us": 300_000,
                    "stretch_permille": 1_000,
                    "micro_usd_per_gb": 20_000,
                    "reason": "only-one",
                    "backup": null,
                    "text": "paris-1 > tokyo-1: 200 ms measured",
                }],
            }, { "root": "tokyo-1", "bitrate_bps": 10_000, "tracks": [], "edges": [] }],
        }));
        let mut out = Vec::new();
        show(&mut out, &explanation.expect("an explanation")).expect("written");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
mtg_0000000000, plan 7
  broken: something

from paris-1: Ada's pictures (tr_00000000), planned with 2.6 Mbit/s
  to tokyo-1, since plan 5
    paris-1 > tokyo-1: 200 ms measured

from tokyo-1: no tracks, planned with 10 kbit/s
  to nobody else
"
        );
    }
}
