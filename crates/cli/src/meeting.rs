//! `sluice meeting`: how a call went, for whoever is asked why it was bad.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reqwest::Method;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::quality::{
    CandidateKind, CandidateProtocol, Direction, JoinTimes, MeetingQuality, NetworkPath,
    ParticipantQuality, QualityReport, Reporter, TimedReport,
};
use sluice_types::room::MediaKind;

use crate::ops::OpsArgs;

/// What people notice: this share of packets lost, in millionths, and this score, in hundredths.
const BAD_LOSS_PPM: u32 = 30_000;
const BAD_MOS_CENTI: u16 = 350;

/// Flags of `sluice meeting`.
#[derive(Debug, Args)]
pub(crate) struct MeetingArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How the call went for each participant: joining, loss, delay, pictures, sound, over time.
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// The meeting
    id: MeetingId,
    /// Of this participant alone
    #[arg(long)]
    participant: Option<ParticipantId>,
    /// The most reports that are shown, 1 to 20000; of more the worst are
    #[arg(long, default_value_t = 2_000)]
    reports: u32,
    #[command(flatten)]
    ops: OpsArgs,
    /// Print what the coordinator answers, as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 0 when the meeting was shown, else 1.
pub(crate) fn run(args: MeetingArgs) -> ExitCode {
    let Command::Inspect(args) = args.command;
    let mut path = format!("/v1/meetings/{}/quality?reports={}", args.id, args.reports);
    if let Some(participant) = &args.participant {
        path += &format!("&participant={participant}");
    }
    let asked = args.ops.ask(Method::GET, &path, None::<&()>);
    crate::ops::show(asked, args.json, show)
}

fn show(out: &mut dyn Write, quality: &MeetingQuality) -> io::Result<()> {
    writeln!(out, "{}", quality.meeting_id)?;
    writeln!(
        out,
        "MOS: {}. Times are UTC; `!` is what people notice.",
        quality.mos_model
    )?;
    if quality.resolution_ms > 0 {
        let seconds = quality.resolution_ms / 1_000;
        writeln!(out, "Of each {seconds} s the worst report is shown.")?;
    }
    if quality.participants.is_empty() {
        writeln!(
            out,
            "nothing is recorded: nobody was in, or it was too long ago"
        )?;
    }
    for participant in &quality.participants {
        writeln!(out)?;
        show_participant(out, participant)?;
    }
    Ok(())
}

fn show_participant(out: &mut dyn Write, who: &ParticipantQuality) -> io::Result<()> {
    let role = who.role.map_or("role not known", |role| role.as_str());
    // A name may have anything in it, and a terminal obeys some of that.
    let name: String = who.name.chars().filter(|c| !c.is_control()).collect();
    let name = if name.is_empty() { "somebody" } else { &name };
    writeln!(out, "{name} ({}, {role})", who.participant_id)?;
    for stay in &who.stays {
        let until = match (stay.left_at_ms, stay.reason) {
            (Some(at), Some(reason)) => format!("{} ({reason:?})", clock(at)),
            (Some(at), None) => clock(at),
            (None, _) => "now".to_owned(),
        };
        let from = moment(stay.joined_at_ms);
        writeln!(out, "  at {} from {from} to {until}", stay.edge)?;
    }
    for (by, name) in [(Reporter::Client, "client"), (Reporter::Edge, "edge")] {
        // A client that came back has joined more than once.
        for report in who.reports.iter().filter(|at| at.by == by) {
            if let Some(join) = &report.report.join {
                writeln!(out, "  join, by its {name}: {}", steps(join))?;
            }
        }
    }
    let mut paths: Vec<_> = who
        .reports
        .iter()
        .filter_map(|at| at.report.network)
        .collect();
    paths.dedup();
    if !paths.is_empty() {
        let paths: Vec<_> = paths.into_iter().map(path_name).collect();
        writeln!(out, "  media over {}", paths.join(", then "))?;
    }
    if who.reports.is_empty() {
        return writeln!(out, "  nothing was measured");
    }
    writeln!(
        out,
        "    time      by      rtt ms  loss in  loss out  jitter ms  in kbit/s  out kbit/s  fps  lines  freezes   MOS"
    )?;
    for report in &who.reports {
        writeln!(out, "{}", row(report))?;
    }
    Ok(())
}

fn row(at: &TimedReport) -> String {
    let report = &at.report;
    let by = match at.by {
        Reporter::Client => "client",
        Reporter::Edge => "edge",
    };
    let incoming = || {
        report
            .tracks
            .iter()
            .filter(|t| t.direction == Direction::In)
    };
    let videos = || incoming().filter(|track| track.kind == MediaKind::Video);
    let rate = |way| {
        let tracks = report.tracks.iter().filter(|track| track.direction == way);
        tracks
            .map(|track| u64::from(track.bitrate_bps))
            .sum::<u64>()
            / 1_000
    };
    let number = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let percent = |way| {
        let loss = report.loss_ppm(way);
        loss.map_or_else(
            || "-".to_owned(),
            |ppm| format!("{:.1} %", f64::from(ppm) / 1e4),
        )
    };
    let jitter = incoming().filter_map(|track| track.jitter_ms).max();
    let slowest = videos().filter_map(|track| track.frame_rate).min();
    let lines = videos().filter_map(|track| track.height).max();
    let freezes = freezes(report);
    let mos = report.worst_mos_centi();
    let mos = mos.map_or_else(
        || "-".to_owned(),
        |mos| format!("{:.2}", f64::from(mos) / 100.0),
    );
    let paused = videos().filter(|track| track.paused).count();
    let paused = match paused {
        0 => String::new(),
        paused => format!("  {paused} paused"),
    };
    format!(
        "  {} {}  {by:<6}  {:>6}  {:>7}  {:>8}  {:>9}  {:>9}  {:>10}  {:>3}  {:>5}  {:>7}  {mos:>4}{paused}",
        if is_bad(report) { '!' } else { ' ' },
        clock(at.at_ms),
        number(report.round_trip_ms),
        percent(Direction::In),
        percent(Direction::Out),
        number(jitter),
        rate(Direction::In),
        rate(Direction::Out),
        number(slowest.map(u32::from)),
        number(lines.map(u32::from)),
        number(freezes),
    )
}

fn freezes(report: &QualityReport) -> Option<u32> {
    let freezes = report.tracks.iter().filter_map(|track| track.freezes);
    freezes.reduce(u32::saturating_add)
}

fn is_bad(report: &QualityReport) -> bool {
    let lossy = |way| report.loss_ppm(way).is_some_and(|ppm| ppm > BAD_LOSS_PPM);
    let sounds_bad = (report.worst_mos_centi()).is_some_and(|mos| mos < BAD_MOS_CENTI);
    let paused = report.tracks.iter().any(|track| track.paused);
    let frozen = freezes(report).is_some_and(|freezes| freezes > 0);
    lossy(Direction::In) || lossy(Direction::Out) || sounds_bad || paused || frozen
}

fn steps(join: &JoinTimes) -> String {
    let steps = [
        ("admitted", join.admitted_ms),
        ("signalling", join.signalling_ms),
        ("answered", join.answered_ms),
        ("connected", join.connected_ms),
        ("first media", join.first_media_ms),
    ];
    let done: Vec<_> = steps
        .into_iter()
        .filter_map(|(step, after)| Some(format!("{step} {} ms", after?)))
        .collect();
    done.join(", ")
}

fn path_name(path: NetworkPath) -> String {
    let protocol = match path.protocol {
        CandidateProtocol::Udp => "UDP",
        CandidateProtocol::Tcp => "TCP",
    };
    match path.kind {
        CandidateKind::Relay => format!("TURN ({protocol})"),
        _ => protocol.to_owned(),
    }
}

/// Day and time, in UTC.
fn moment(at_ms: u64) -> String {
    format_time(at_ms, "%F %T")
}

/// The time of day, in UTC.
fn clock(at_ms: u64) -> String {
    format_time(at_ms, "%T")
}

fn format_time(at_ms: u64, format: &str) -> String {
    let at = i64::try_from(at_ms).ok().map(Timestamp::from_millisecond);
    match at {
        Some(Ok(at)) => at.strftime(format).to_string(),
        _ => format!("{at_ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_timeline_shows_joins_paths_and_what_was_bad() {
        let track = |loss: u32, mos: Option<u16>| {
            json!({
                "direction": "in", "kind": if mos.is_some() { "audio" } else { "video" },
                "bitrate_bps": 500_000, "loss_ppm": loss, "jitter_ms": 7, "frame_rate": 24,
                "height": 360, "freezes": if loss > 50_000 { 2 } else { 0 }, "mos_centi": mos,
            })
        };
        let report = |at: u64, by: &str, loss: u32, mos: Option<u16>| {
            json!({ "at_ms": at, "by": by, "report": {
                "interval_ms": 10_000, "round_trip_ms": 40,
                "network": { "kind": "relay", "protocol": "tcp" },
                "join": if at == 1_700_000_003_000_u64 {
                    json!({ "admitted_ms": 12, "first_media_ms": 300 })
                } else {
                    json!(null)
                },
                "tracks": [track(loss, None), track(loss, mos)],
            }})
        };
        let quality = serde_json::from_value(json!({
            "meeting_id": "mtg_0000000000",
            "mos_model": "a model",
            "resolution_ms": 20_000,
            "participants": [{
                "participant_id": "pt_00000000", "name": "Ada", "role": "speaker",
                "stays": [{
                    "edge": "paris-1", "region": "paris", "joined_at_ms": 1_700_000_000_000_u64,
                    "left_at_ms": 1_700_000_060_000_u64, "reason": "left",
                }],
                "reports": [
                    report(1_700_000_003_000, "client", 0, Some(441)),
                    report(1_700_000_013_000, "client", 100_000, Some(312)),
                    report(1_700_000_014_000, "edge", 100_000, None),
                ],
            }],
        }));
        let mut out = Vec::new();
        show(&mut out, &quality.expect("a record")).expect("written");
        let header = "    time      by      rtt ms  loss in  loss out  jitter ms  in kbit/s  out kbit/s  fps  lines  freezes   MOS";
        let rows = [
            "    22:13:23  client      40    0.0 %         -          7       1000           0   24    360        0  4.41",
            "  ! 22:13:33  client      40   10.0 %         -          7       1000           0   24    360        4  3.12",
            "  ! 22:13:34  edge        40   10.0 %         -          7       1000           0   24    360        4     -",
        ];
        let expected = format!(
            "\
mtg_0000000000
MOS: a model. Times are UTC; `!` is what people notice.
Of each 20 s the worst report is shown.

Ada (pt_00000000, speaker)
  at paris-1 from 2023-11-14 22:13:20 to 22:14:20 (Left)
  join, by its client: admitted 12 ms, first media 300 ms
  media over TURN (TCP)
{header}
{}
",
            rows.join("\n")
        );
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
