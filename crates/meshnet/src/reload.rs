//! Certificates that are replaced while a process runs: connections go on with those that they began
//! with, new ones get the new.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::endpoint::Renewal;
use crate::pki::CredentialFiles;
use crate::tls::{Credentials, CredentialsError};

/// How often files are looked at. SIGHUP has them read at once.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What tells a file from another at its place: a link that leads elsewhere now counts as well.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print(Option<(SystemTime, u64)>);

impl Print {
    fn of(path: &PathBuf) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.and_then(|at| Some((at.modified().ok()?, at.len()))))
    }
}

/// Files, and how they were when they were last read.
#[derive(Debug)]
pub struct FileWatch {
    files: Vec<PathBuf>,
    seen: Vec<Print>,
    hangup: Option<Signal>,
}

impl FileWatch {
    /// Files that are read now. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        let hangup = signal(SignalKind::hangup());
        let hangup = hangup
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard"))
            .ok();
        Self {
            seen: files.iter().map(Print::of).collect(),
            files,
            hangup,
        }
    }

    /// Waits until one of the files is another, or somebody says so by SIGHUP. Cancel-safe.
    ///
    /// Files that belong together are replaced one after the other: whoever cannot use them yet waits
    /// again.
    pub async fn changed(&mut self) {
        loop {
            let hangup = self.hangup.as_mut();
            let hung_up = async {
                match hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                _ = hung_up => true,
                () = sleep(LOOK_EVERY) => false,
            };
            // Before they are read: what is written meanwhile is a change once more.
            let now: Vec<_> = self.files.iter().map(Print::of).collect();
            if std::mem::replace(&mut self.seen, now) != self.seen || asked {
                return;
            }
        }
    }
}

/// Reads a process's certificate and the mesh's CA anew whenever their files are others than at this
/// call, for as long as the future is polled. `done` hears whether they could be used; those before
/// stay when not. Must be called within a Tokio runtime.
pub fn keep_renewed(
    files: CredentialFiles,
    renewals: Vec<Renewal>,
    mut done: impl FnMut(Result<(), CredentialsError>) + Send,
) -> impl Future<Output = ()> + Send {
    let paths = vec![files.ca.clone(), files.cert.clone(), files.key.clone()];
    let mut watch = FileWatch::new(paths);
    async move {
        loop {
            watch.changed().await;
            done(renew(&files, &renewals));
        }
    }
}

fn renew(files: &CredentialFiles, renewals: &[Renewal]) -> Result<(), CredentialsError> {
    for renewal in renewals {
        renewal.renew(Credentials::from_files(files)?)?;
    }
    Ok(())
}
