//! The edge's lines to the coordinators, one to each: registration, heartbeats and demand one way,
//! plans the other.
//!
//! A coordinator may be down. Then nothing else stops: its line is dialled again with backoff
//! until it stands, and [`ControlEvent::Connected`] asks the hub to tell all demand anew.

mod pending;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluice_meshnet::MeshEndpoint;
use sluice_types::mesh::control::{
    CoordinatorMessage, Heartbeat, LinksReport, Registration, RoomDemand,
};
use sluice_types::mesh::version::Version;
use sluice_types::quality::{Attendance, QualitySample};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::pending::Pending;
use self::session::{SessionError, Shared};

/// Events that wait for the hub. When it is so far behind that they do not fit, the coordinator's
/// messages wait in QUIC's window; heartbeats go on.
const EVENTS: usize = 1_024;

/// How long to wait before the second attempt; doubled after each, up to the longest.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Which line, in the order of [`ControlSettings::coordinators`].
pub type LineNumber = usize;

/// Something that happened on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// The edge is registered, for the first time or again. The hub now tells the demand of every
    /// room, since the coordinator may have forgotten or missed it.
    Connected {
        /// The mesh, the `iss` of join tokens.
        mesh: String,
        /// The public keys of join tokens, a JWK set (RFC 7517) as JSON.
        jwks: String,
        /// The coordinator's public HTTP endpoint, for the page.
        public_url: String,
        /// It says in which term it leads; one of an older version never does.
        has_terms: bool,
    },
    /// The line is lost; it is being dialled again.
    Disconnected,
    /// The coordinator does not register this edge; it is asked again after a while.
    Refused {
        /// What it says.
        reason: String,
    },
    /// The coordinator says something; never `Welcome` or `Refuse`, which are the events above.
    Message(CoordinatorMessage),
}

/// What the edge measures of itself.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// What every coordinator understands.
    pub heartbeat: Heartbeat,
    /// How its backbone fares.
    pub links: LinksReport,
}

/// What the edge says of itself.
pub struct ControlSettings {
    /// Where each coordinator listens: `host:port`, the host a DNS name or an address. Resolved anew
    /// with each attempt.
    pub coordinators: Vec<String>,
    /// Who the edge is and where it is reached.
    pub registration: Registration,
    /// The newest version that is offered.
    pub protocol_max: Version,
    /// Measures the edge, at the interval that the coordinator sets. Must not block.
    pub heartbeat: Arc<dyn Fn() -> Beat + Send + Sync>,
}

impl fmt::Debug for ControlSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSettings")
            .field("coordinators", &self.coordinators)
            .field("registration", &self.registration)
            .finish_non_exhaustive()
    }
}

/// The lines, as the hub holds them. Dropping it ends them at once.
#[derive(Debug)]
pub struct Control {
    lines: Vec<Arc<Pending>>,
    _task: AbortOnDropHandle<()>,
}

/// How many lines stand.
#[derive(Debug, Default)]
struct Standing(AtomicUsize);

impl Standing {
    fn add(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        self.show(before + 1);
    }

    fn remove(&self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        self.show(before.saturating_sub(1));
    }

    fn show(&self, lines: usize) {
        metrics::gauge!("sluice_control_connected").set(if lines > 0 { 1.0 } else { 0.0 });
        metrics::gauge!("sluice_control_lines").set(lines as f64);
    }
}

impl Control {
    /// Dials the coordinators from `endpoint`, again and again, until `shutdown`. Must be called
    /// within a Tokio runtime.
    pub fn start(
        endpoint: MeshEndpoint,
        settings: ControlSettings,
        shutdown: CancellationToken,
    ) -> (Self, mpsc::Receiver<(LineNumber, ControlEvent)>) {
        let (events, events_rx) = mpsc::channel(EVENTS);
        let (endpoint, settings) = (Arc::new(endpoint), Arc::new(settings));
        let standing = Arc::new(Standing::default());
        standing.show(0);
        let mut lines = Vec::new();
        let mut tasks = JoinSet::new();
        for line in 0..settings.coordinators.len() {
            let pending = Arc::new(Pending::default());
            lines.push(pending.clone());
            let shared = Shared {
                line,
                endpoint: endpoint.clone(),
                settings: settings.clone(),
                pending,
                events: events.clone(),
                standing: standing.clone(),
                shutdown: shutdown.clone(),
            };
            tasks.spawn(run(shared));
        }
        let task = tokio::spawn(async move {
            while tasks.join_next().await.is_some() {}
            endpoint.close("the edge goes away").await;
        });
        let control = Self {
            lines,
            _task: AbortOnDropHandle::new(task),
        };
        (control, events_rx)
    }

    /// Tells every coordinator what a room needs here. Of several that wait for one room the latest
    /// is sent; while a line is down nothing is kept, since [`ControlEvent::Connected`] asks for all of it.
    pub fn demand(&self, demand: RoomDemand) {
        for line in &self.lines {
            line.demand(demand.clone());
        }
    }

    /// Tells every coordinator who came and went; `false` when so much waits somewhere that the whole
    /// must be told instead. While a line is down nothing is kept, as of demand.
    pub fn attendance(&self, attendance: Attendance) -> bool {
        let mut all = true;
        // Every line is told, also after one that has too much to say.
        for line in &self.lines {
            all &= line.attendance(attendance.clone());
        }
        all
    }

    /// Tells every coordinator how a call goes. What was measured while a line is down is kept, the
    /// latest of it.
    pub fn quality(&self, sample: QualitySample) {
        for line in &self.lines {
            line.quality(sample.clone());
        }
    }

    /// Tells, now and after each registration, that the edge takes nobody new and will go away.
    pub fn drain(&self) {
        for line in &self.lines {
            line.drain();
        }
    }
}

async fn run(shared: Shared) {
    let mut backoff = BACKOFF;
    loop {
        let session = tokio::select! {
            () = shared.shutdown.cancelled() => break,
            session = session::connect(&shared) => session,
        };
        let error = match session {
            Ok(session) => {
                backoff = BACKOFF;
                metrics::counter!("sluice_control_connections_total").increment(1);
                shared.standing.add();
                let ended = session.run(&shared).await;
                shared.standing.remove();
                match ended {
                    Ok(()) => break,
                    Err(error) => error,
                }
            }
            Err(error) => {
                metrics::counter!("sluice_control_failures_total").increment(1);
                error
            }
        };
        if let SessionError::Refused { reason } = error {
            tracing::warn!(reason, "the coordinator refuses this edge");
            shared.say(ControlEvent::Refused { reason }).await;
        } else {
            tracing::info!(%error, "no line to the coordinator");
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => break,
            () = sleep(spread(backoff)) => {}
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Half to all of a wait, by chance, so that the edges do not all return to a coordinator at once.
fn spread(wait: Duration) -> Duration {
    // Without randomness they do, which is bearable.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    wait.mul_f64(0.5 + f64::from(chance) / f64::from(u32::MAX) / 2.0)
}
