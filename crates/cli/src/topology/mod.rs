//! `sluice topology`: checks a mesh's files, draws the mesh that they describe, says what they would
//! change, has a running mesh follow them, and renders what its deployment needs.

mod apply;
mod atlas;
mod canvas;
mod chart;
mod labels;
mod paths;
mod plan;
mod report;
mod screen;
mod svg;
mod tables;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use sluice_types::topology::{LoadError, Topology, load_dir};

use crate::render;
use screen::Screen;

/// Check, draw, plan or apply the mesh that topology.toml and regions/ describe, or render its
/// deployment.
#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Report everything that is wrong with topology.toml and regions/*.toml.
    Check {
        /// The folder with topology.toml and regions/.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Draw the mesh, and list its links and shortest paths.
    Show {
        /// The folder with topology.toml and regions/.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Draw into this SVG file as well.
        #[arg(long, value_name = "PATH")]
        svg: Option<PathBuf>,
    },
    /// Say what another topology would change: regions, edges and links, and for people as they are
    /// spread over the world distance, delay, load, cost, and what breaks when something fails.
    Plan(plan::PlanArgs),
    /// Have a running mesh follow these files. They are checked as a whole; what would cut off who is
    /// in a meeting is refused.
    Apply(apply::ApplyArgs),
    /// List the versions of the topology that a running mesh keeps.
    History(apply::HistoryArgs),
    /// Have a running mesh follow an earlier version again.
    Rollback(apply::RollbackArgs),
    /// Write what a deployment needs: Terraform's variables, and configuration of edges, coturn,
    /// Prometheus and DNS. No secrets.
    Render {
        /// The folder with topology.toml and regions/.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Where terraform/ is [default: the same folder].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Write nothing; name every file that is stale, and fail when there is one.
        #[arg(long)]
        check: bool,
    },
}

/// Runs the command. The exit code is 0 when the topology is sound and was shown, else 1.
#[must_use]
pub(crate) fn run(args: TopologyArgs) -> ExitCode {
    let screen = Screen::detect();
    let mut out = io::stdout().lock();
    let result = match args.command {
        Command::Check { dir } => check(&mut out, screen, &dir),
        Command::Show { dir, svg } => show(&mut out, screen, &dir, svg.as_deref()),
        Command::Plan(args) => plan::run(&mut out, screen, &args),
        Command::Apply(args) => apply::apply(&mut out, screen, &args),
        Command::History(args) => apply::history(&mut out, screen, &args),
        Command::Rollback(args) => apply::roll_back(&mut out, screen, &args),
        Command::Render {
            dir,
            out: to,
            check,
        } => render(&mut out, screen, &dir, to.as_deref(), check),
    };
    match result {
        Ok(code) => code,
        // A reader that has seen enough, such as `head`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last place left to complain to.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(out: &mut dyn Write, screen: Screen, dir: &Path) -> io::Result<ExitCode> {
    let Some(topology) = load(out, screen, dir)? else {
        return Ok(ExitCode::FAILURE);
    };
    writeln!(out, "{} is sound: {}", topology.name(), summary(&topology))?;
    Ok(ExitCode::SUCCESS)
}

fn show(
    out: &mut dyn Write,
    screen: Screen,
    dir: &Path,
    svg: Option<&Path>,
) -> io::Result<ExitCode> {
    let Some(topology) = load(out, screen, dir)? else {
        return Ok(ExitCode::FAILURE);
    };
    // First the file: a reader of the terminal may go away before the end.
    if let Some(path) = svg {
        let write = fs::write(path, svg::draw(&topology));
        write.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
    }
    writeln!(
        out,
        "{}  {}\n",
        screen.bold(topology.name()),
        summary(&topology)
    )?;
    chart::draw(out, screen, &topology)?;
    writeln!(out)?;
    tables::links(out, screen, &topology)?;
    writeln!(out)?;
    tables::paths(out, screen, &topology)?;
    if let Some(path) = svg {
        writeln!(out, "\nDrawn in {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(
    out: &mut dyn Write,
    screen: Screen,
    dir: &Path,
    to: Option<&Path>,
    check: bool,
) -> io::Result<ExitCode> {
    let Some(topology) = load(out, screen, dir)? else {
        return Ok(ExitCode::FAILURE);
    };
    let files = render::render(&topology);
    let to = to.unwrap_or(dir);
    let done = if check {
        render::check(&files, to)
    } else {
        render::write(&files, to)
    };
    let stale = done.map_err(io::Error::other)?;
    for (path, how) in &stale {
        writeln!(out, "{how}: {}", path.display())?;
    }
    if stale.is_empty() {
        writeln!(out, "{} up to date", count(files.len(), "file"))?;
    } else if check {
        let advice = "run `sluice topology render`";
        writeln!(
            out,
            "{}: {} stale, {advice}",
            screen.red("error"),
            count(stale.len(), "file")
        )?;
        return Ok(ExitCode::FAILURE);
    } else {
        writeln!(out, "{} written or removed", count(stale.len(), "file"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The topology, or none after what is wrong with it was written out.
fn load(out: &mut dyn Write, screen: Screen, dir: &Path) -> io::Result<Option<Topology>> {
    match load_dir(dir) {
        Ok(topology) => return Ok(Some(topology)),
        Err(LoadError::Faults(faults)) => report::faults(out, screen, &faults)?,
        Err(error @ LoadError::Read { .. }) => {
            writeln!(out, "{}: {error}", screen.red("error"))?;
        }
    }
    Ok(None)
}

fn summary(topology: &Topology) -> String {
    let participants: u32 = topology.edges().map(|(_, edge)| edge.capacity()).sum();
    format!(
        "{}, {}, {}, room for {participants} participants",
        count(topology.regions().len(), "region"),
        count(topology.edges().count(), "edge"),
        count(topology.links().len(), "link"),
    )
}

/// `1 link`, `2 links`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
