//! The one binary of Sluice.
#![forbid(unsafe_code)]

mod topology;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An edge-cascaded global SFU mesh.
#[derive(Debug, Parser)]
#[command(name = "sluice", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check or draw the mesh that topology.toml and regions/ describe.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Topology(topology::TopologyArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Topology(args) => topology::run(args),
    }
}
