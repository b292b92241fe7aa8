//! `sluice pki`: the mesh's own certificate authority.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use sluice_meshnet::{Identity, MeshCa};
use sluice_types::ids::EdgeId;

use crate::process::{failed, start_logs};

const DAY: Duration = Duration::from_secs(86_400);

/// Flags of `sluice pki`.
#[derive(Debug, Args)]
pub(crate) struct PkiArgs {
    #[command(subcommand)]
    command: PkiCommand,
}

#[derive(Debug, Subcommand)]
enum PkiCommand {
    /// Make a new certificate authority.
    Init {
        /// The mesh's name.
        mesh: String,
        /// Where its certificate and key go; keep the key off the mesh's machines.
        #[arg(long, default_value = "mesh-ca")]
        ca: PathBuf,
    },
    /// Issue a certificate to an edge, or to the coordinator.
    Issue {
        /// The edge's id, or `coordinator`.
        name: String,
        /// Where ca.pem, cert.pem and key.pem go.
        out: PathBuf,
        /// The authority's directory.
        #[arg(long, default_value = "mesh-ca")]
        ca: PathBuf,
        /// For how many days it is good.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

pub(crate) fn run(args: PkiArgs) -> ExitCode {
    start_logs();
    let done = match args.command {
        PkiCommand::Init { mesh, ca } => MeshCa::generate(&mesh)
            .and_then(|authority| authority.save(&ca))
            .map_err(|error| error.to_string()),
        PkiCommand::Issue {
            name,
            out,
            ca,
            days,
        } => issue(&name, &out, &ca, days),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn issue(name: &str, out: &std::path::Path, ca: &std::path::Path, days: u32) -> Result<(), String> {
    let identity = if name == "coordinator" {
        Identity::Coordinator
    } else {
        Identity::Edge(name.parse::<EdgeId>().map_err(|error| error.to_string())?)
    };
    MeshCa::load(ca)
        .and_then(|authority| authority.issue(&identity, DAY * days))
        .and_then(|issued| issued.save(out))
        .map_err(|error| error.to_string())
}
