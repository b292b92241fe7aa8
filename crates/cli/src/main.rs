//! The one binary of Sluice.
#![forbid(unsafe_code)]

mod bench;
mod dev;
mod doctor;
mod keys;
mod ops;
mod pki;
mod process;
mod render;
mod room;
mod servers;
mod simulate;
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
    /// Run a whole mesh on this machine, from topology.toml and regions/.
    Dev(dev::DevArgs),
    /// Run one edge.
    Edge(Box<servers::EdgeArgs>),
    /// Run the coordinator.
    Coordinator(Box<servers::CoordinatorArgs>),
    /// Look at everything that an edge needs, from where it runs, and say how to mend it.
    Doctor(Box<doctor::DoctorArgs>),
    /// Measure how fast an edge forwards, or put load on a mesh.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Bench(bench::BenchArgs),
    /// Run the whole mesh in virtual time, with faults, and check what must never be otherwise.
    Simulate(Box<simulate::SimulateArgs>),
    /// Make the mesh's certificate authority and certificates.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Pki(pki::PkiArgs),
    /// Make API keys, secrets, and the keys that sign join tokens.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Keys(keys::KeysArgs),
    /// Ask a running mesh about one meeting.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Room(room::RoomArgs),
    /// Check, draw, plan or apply the mesh that topology.toml and regions/ describe, or render its
    /// deployment.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Topology(topology::TopologyArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(args) => dev::run(args),
        Command::Edge(args) => servers::run_edge(*args),
        Command::Coordinator(args) => servers::run_coordinator(*args),
        Command::Doctor(args) => doctor::run(*args),
        Command::Bench(args) => bench::run(args),
        Command::Simulate(args) => simulate::run(*args),
        Command::Pki(args) => pki::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Room(args) => room::run(args),
        Command::Topology(args) => topology::run(args),
    }
}
