//! `sluice topology apply`, `history` and `rollback`: the topology of a running mesh.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use sluice_types::rest::{ApplyTopology, RollBackTopology, TopologyApplied, TopologyHistory};
use sluice_types::topology::TopologyFiles;

use super::screen::Screen;
use super::{count, load};
use crate::ops::{OpsArgs, OpsError};

/// Flags of `sluice topology apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The folder with topology.toml and regions/.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    how: How,
}

/// Flags of `sluice topology rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The version, as `sluice topology history` lists them.
    version: u64,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    how: How,
}

/// Flags of `sluice topology history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    ops: OpsArgs,
    /// Print what the coordinator answers, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct How {
    /// Even if it cuts off who is in a meeting.
    #[arg(long)]
    force: bool,
    /// Only say what would be.
    #[arg(long)]
    dry_run: bool,
    /// Print what the coordinator answers, as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn apply(out: &mut dyn Write, screen: Screen, args: &ApplyArgs) -> io::Result<ExitCode> {
    // What is wrong with the files is shown best where they are.
    if load(out, screen, &args.dir)?.is_none() {
        return Ok(ExitCode::FAILURE);
    }
    let files = TopologyFiles::read(&args.dir).map_err(io::Error::other)?;
    let body = ApplyTopology {
        files: files.0,
        force: args.how.force,
        dry_run: args.how.dry_run,
    };
    let answer = args.ops.ask(Method::POST, "/v1/ops/topology", Some(&body));
    show(out, screen, &args.how, answer)
}

pub(super) fn roll_back(
    out: &mut dyn Write,
    screen: Screen,
    args: &RollbackArgs,
) -> io::Result<ExitCode> {
    let body = RollBackTopology {
        version: args.version,
        force: args.how.force,
        dry_run: args.how.dry_run,
    };
    let answer = args
        .ops
        .ask(Method::POST, "/v1/ops/topology/rollback", Some(&body));
    show(out, screen, &args.how, answer)
}

pub(super) fn history(
    out: &mut dyn Write,
    screen: Screen,
    args: &HistoryArgs,
) -> io::Result<ExitCode> {
    let asked: Result<TopologyHistory, _> =
        args.ops.ask(Method::GET, "/v1/ops/topology", None::<&()>);
    let history = match asked {
        Ok(history) => history,
        Err(error) => return refused(out, screen, &error),
    };
    if args.json {
        json(out, &history)?;
        return Ok(ExitCode::SUCCESS);
    }
    for version in &history.versions {
        let mark = if version.version == history.in_force {
            "*"
        } else {
            " "
        };
        writeln!(
            out,
            "{mark} {:>5}  {}  {}",
            version.version, version.at, version.by
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    writeln!(out, "{text}")
}

fn show(
    out: &mut dyn Write,
    screen: Screen,
    how: &How,
    answer: Result<TopologyApplied, OpsError>,
) -> io::Result<ExitCode> {
    let applied = match answer {
        Ok(applied) => applied,
        Err(error) => return refused(out, screen, &error),
    };
    if how.json {
        json(out, &applied)?;
    } else {
        write_applied(out, &applied)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_applied(out: &mut dyn Write, applied: &TopologyApplied) -> io::Result<()> {
    for change in &applied.changes {
        writeln!(out, "  {change}")?;
    }
    for cut in &applied.cuts {
        writeln!(out, "  cut off: {cut}")?;
    }
    let version = applied.version;
    match (applied.changes.len(), applied.applied) {
        (0, _) => writeln!(out, "Nothing changes: version {version} is in force."),
        (n, true) => writeln!(
            out,
            "{}. Version {version} is in force.",
            count(n, "change")
        ),
        (n, false) => writeln!(
            out,
            "{}. It would be version {version}.",
            count(n, "change")
        ),
    }
}

fn refused(out: &mut dyn Write, screen: Screen, error: &OpsError) -> io::Result<ExitCode> {
    writeln!(out, "{}: {error}", screen.red("error"))?;
    if error
        .problem
        .as_ref()
        .is_some_and(|problem| problem.kind.ends_with("/cuts-off"))
    {
        writeln!(out, "Nothing was changed. `--force` does it all the same.")?;
    }
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_is_told_change_by_change() {
        let told = |applied, changes: &[&str]| {
            let mut out = Vec::new();
            let applied = TopologyApplied {
                version: 7,
                applied,
                changes: changes.iter().map(ToString::to_string).collect(),
                cuts: Vec::new(),
            };
            write_applied(&mut out, &applied).expect("written");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            told(true, &["region lima added", "edge lima-1 added"]),
            "  region lima added\n  edge lima-1 added\n2 changes. Version 7 is in force.\n"
        );
        assert_eq!(
            told(false, &["link a - b removed"]),
            "  link a - b removed\n1 change. It would be version 7.\n"
        );
        assert_eq!(told(true, &[]), "Nothing changes: version 7 is in force.\n");
    }
}
