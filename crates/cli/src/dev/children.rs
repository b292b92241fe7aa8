//! The processes of a development mesh. Each ends with this one, however that ends.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process::END_WITH_PARENT;

/// What the coordinator is called.
pub(super) const COORDINATOR: &str = "coordinator";

/// How long a process gets to drain before it is killed.
const GRACE: Duration = Duration::from_secs(5);

struct Named {
    name: String,
    child: Child,
    /// The mesh works without it.
    optional: bool,
}

pub(super) struct Children {
    logs: PathBuf,
    all: Vec<Named>,
}

impl Children {
    pub(super) const fn new(logs: PathBuf) -> Self {
        let all = Vec::new();
        Self { logs, all }
    }

    /// Starts this same binary with another command.
    pub(super) fn start(
        &mut self,
        name: &str,
        command: &str,
        flags: &[(&str, String)],
        environment: &[(&str, String)],
    ) -> Result<(), String> {
        let binary = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut process = Command::new(binary);
        process.arg(command).env(END_WITH_PARENT, "1");
        for (flag, value) in flags {
            process.arg(flag).arg(value);
        }
        for (key, value) in environment {
            process.env(key, value);
        }
        self.spawn(name, process, false)
    }

    /// Starts coturn when it is installed.
    pub(super) fn start_turn(&mut self, secret: &str) {
        let mut process = Command::new("turnserver");
        process.args([
            "-n",
            "--use-auth-secret",
            &format!("--static-auth-secret={secret}"),
            "--realm=sluice.dev",
            "--listening-ip=127.0.0.1",
            "--relay-ip=127.0.0.1",
            "--listening-port=3478",
            "--min-port=49160",
            "--max-port=49400",
            "--allow-loopback-peers",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            "--fingerprint",
            "--log-file=stdout",
            "--pidfile=/dev/null",
        ]);
        if self.spawn("turnserver", process, true).is_err() {
            tracing::info!("coturn is not installed: no TURN in this mesh");
        }
    }

    fn spawn(&mut self, name: &str, mut process: Command, optional: bool) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{name} does not start: {error}");
        let log = File::create(self.logs.join(format!("{name}.log"))).map_err(failed)?;
        let child = process
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            // Ctrl-C reaches this process alone, which ends the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.all.push(Named {
            name: name.to_owned(),
            child,
            optional,
        });
        Ok(())
    }

    /// Processes that ended since the last look, and how; an error when the coordinator is among them.
    /// The mesh goes on without an edge, as any mesh does.
    pub(super) fn ended(&mut self) -> Result<Vec<String>, String> {
        let mut ended = Vec::new();
        self.all.retain_mut(|named| match named.child.try_wait() {
            Ok(Some(status)) if !named.optional => {
                ended.push((
                    named.name.clone(),
                    format!("{} ended ({status})", named.name),
                ));
                false
            }
            _ => true,
        });
        match ended.iter().find(|(name, _)| name == COORDINATOR) {
            Some((_, what)) => Err(format!(
                "{what}; its log in {} says why",
                self.logs.display()
            )),
            None => Ok(ended.into_iter().map(|(_, what)| what).collect()),
        }
    }

    /// The number of a process that runs.
    pub(super) fn pid(&self, name: &str) -> Option<u32> {
        let found = self.all.iter().find(|named| named.name == name);
        found.and_then(|named| named.child.id())
    }

    /// An error when a process ended that should not have.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let mut gone = None;
        self.all.retain_mut(|named| match named.child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) if !named.optional => {
                gone = Some(format!("{} ended ({status})", named.name));
                false
            }
            _ => false,
        });
        match gone {
            Some(what) => Err(format!(
                "{what}; its log in {} says why",
                self.logs.display()
            )),
            None => Ok(()),
        }
    }

    /// Sends a process a signal, by its name as `kill` knows it.
    pub(super) async fn signal(&self, name: &str, signal: &str) -> Result<(), String> {
        let pid = self
            .pid(name)
            .ok_or_else(|| format!("no process `{name}` runs"))?;
        let failed = |error: std::io::Error| format!("kill: {error}");
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(pid.to_string())
            .status()
            .await
            .map_err(failed)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{name}` takes no {signal}"))
        }
    }

    /// Ends all of them: their input ends, which each takes as being told to.
    pub(super) async fn end(mut self) {
        // Edges first, so that the coordinator hears of their end.
        for named in self.all.iter_mut().rev() {
            drop(named.child.stdin.take());
            if named.optional {
                // Fails when it is gone already.
                let _ = named.child.start_kill();
            }
        }
        for named in &mut self.all {
            if timeout(GRACE, named.child.wait()).await.is_err() {
                tracing::warn!(name = named.name, "killed, since it did not end");
                // Fails when it is gone by now.
                let _ = named.child.kill().await;
            }
        }
    }
}
