//! What every long-running command has: logs, metrics, signals, and an end.

use std::io::IsTerminal;
use std::process::ExitCode;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Set by a parent that wants the process to end with it, which it sees by the end of its input.
pub(crate) const END_WITH_PARENT: &str = "SLUICE_END_WITH_PARENT";

/// Buckets of histograms of durations, in seconds.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What is logged unless `RUST_LOG` says otherwise. The DTLS library warns of every extension that
/// browsers offer and it does not know, a dozen lines for each participant.
const LOGGED: &str = "info,rtc_dtls=error";

/// Logs to standard error: for people on a terminal, as JSON elsewhere. `RUST_LOG` says what.
pub(crate) fn start_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().init();
    }
}

/// Records metrics from now on.
fn start_metrics() -> Result<PrometheusHandle, String> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| error.to_string())
}

/// Cancelled by SIGTERM, SIGINT, or the end of the parent.
fn shutdown_token() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let cancel = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("asked to end");
        cancel.cancel();
    });
    if std::env::var_os(END_WITH_PARENT).is_some() {
        let cancel = token.clone();
        std::thread::spawn(move || {
            // Nothing is ever written to it: reading ends when the parent does.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            cancel.cancel();
        });
    }
    Ok(token)
}

/// Runs a server until it ends or is told to.
pub(crate) fn serve<F, E>(run: impl FnOnce(PrometheusHandle, CancellationToken) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    start_logs();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(async {
        let metrics = match start_metrics() {
            Ok(metrics) => metrics,
            Err(error) => return failed(&error),
        };
        let shutdown = match shutdown_token() {
            Ok(shutdown) => shutdown,
            Err(error) => return failed(&error),
        };
        match run(metrics, shutdown).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        }
    });
    // A thread that reads standard input does not end by itself.
    runtime.shutdown_background();
    code
}

/// Says why a command failed.
pub(crate) fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::FAILURE
}
