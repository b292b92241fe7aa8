//! `sluice edge` and `sluice coordinator`: configuration from file, environment and flags.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use sluice_coordinator::config::CoordinatorSettings;
use sluice_edge::config::EdgeSettings;

use crate::drain::{self, DrainArgs};
use crate::process::serve;

/// Flags of `sluice edge`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EdgeArgs {
    #[command(subcommand)]
    command: Option<EdgeCommand>,
    /// TOML file with any of these settings, in snake_case
    #[arg(long, env = "SLUICE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: EdgeSettings,
}

/// What can be done with an edge that runs.
#[derive(Debug, Subcommand)]
enum EdgeCommand {
    /// Send an edge's participants elsewhere and relay trees around it, and wait until it is empty.
    Drain(DrainArgs),
}

/// Flags of `sluice coordinator`. API keys and the TURN secret come from the file, or from
/// SLUICE_API_KEYS and SLUICE_TURN_SECRET.
#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    /// TOML file with any of these settings, in snake_case, and `api_keys` and `turn_secret`
    #[arg(long, env = "SLUICE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: CoordinatorSettings,
}

pub(crate) fn run_edge(args: EdgeArgs) -> ExitCode {
    if let Some(EdgeCommand::Drain(args)) = &args.command {
        return drain::run(args);
    }
    serve(|metrics, shutdown| async move {
        let file = match &args.config {
            Some(path) => EdgeSettings::from_file(path).map_err(|error| error.to_string())?,
            None => EdgeSettings::default(),
        };
        let config = args
            .settings
            .or(file)
            .resolve()
            .map_err(|error| error.to_string())?;
        sluice_edge::run(config, metrics, shutdown)
            .await
            .map_err(|error| error.to_string())
    })
}

pub(crate) fn run_coordinator(args: CoordinatorArgs) -> ExitCode {
    serve(|metrics, shutdown| async move {
        let file = match &args.config {
            Some(path) => {
                CoordinatorSettings::from_file(path).map_err(|error| error.to_string())?
            }
            None => CoordinatorSettings::default(),
        };
        let secrets = CoordinatorSettings::secrets_from_env().map_err(|error| error.to_string())?;
        let settings = args.settings.or(secrets).or(file);
        let config = settings.resolve().map_err(|error| error.to_string())?;
        sluice_coordinator::run(config, metrics, shutdown)
            .await
            .map_err(|error| error.to_string())
    })
}
