//! Edges: registration, heartbeats, demand, and the plans that follow from it.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_meshnet::{MeshConnection, MeshEndpoint, MessageReceiver, MessageSender};
use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::mesh::control::{CoordinatorMessage, EdgeMessage, Registration};
use sluice_types::mesh::version::Version;
use sluice_types::quality::Attendance;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::dns;
use crate::feed::Happening;
use crate::lead;
use crate::registry::News;
use crate::revocations;
use crate::state::{Shared, TO_EDGE, wall_ms};
use crate::topology;

/// How long a registration may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// How often silence is looked for.
const SILENCE_CHECK: Duration = Duration::from_millis(500);

/// Why an edge's line ends.
#[derive(Debug, Error)]
enum LineError {
    #[error("the stream failed: {0}")]
    Stream(#[from] sluice_meshnet::stream::StreamError),
    #[error("no hello within {HELLO_TIMEOUT:?}")]
    Late,
    #[error("the first message is not a hello")]
    NotHello,
    #[error("{0}")]
    Refused(String),
    #[error("the edge closed the stream")]
    Closed,
    #[error("the edge does not keep up, or is registered anew")]
    Replaced,
}

/// Accepts edges until `shutdown`.
pub(crate) async fn serve(endpoint: MeshEndpoint, shared: Shared, shutdown: CancellationToken) {
    let silence = tokio::spawn(watch_silence(shared.clone(), shutdown.clone()));
    let mut lines = JoinSet::new();
    loop {
        let connection = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = lines.join_next() => continue,
            connection = endpoint.accept() => match connection {
                Some(connection) => connection,
                None => break,
            },
        };
        let shared = shared.clone();
        lines.spawn(async move {
            let peer = connection.peer().clone();
            if let Err(error) = serve_edge(&connection, &shared).await {
                tracing::info!(%peer, %error, "an edge's line ended");
            }
        });
    }
    endpoint.close("the coordinator goes away").await;
    // Each holds the store, which whoever starts next must be able to open.
    lines.shutdown().await;
    // It ends with `shutdown` too, and fails only by a panic that has been reported.
    let _ = silence.await;
}

async fn serve_edge(connection: &MeshConnection, shared: &Shared) -> Result<(), LineError> {
    let (mut sender, mut receiver): (
        MessageSender<CoordinatorMessage>,
        MessageReceiver<EdgeMessage>,
    ) = timeout(HELLO_TIMEOUT, connection.accept_messages())
        .await
        .map_err(|_| LineError::Late)??;
    let hello = timeout(HELLO_TIMEOUT, receiver.recv())
        .await
        .map_err(|_| LineError::Late)??;
    let Some(EdgeMessage::Hello(registration)) = hello else {
        return Err(LineError::NotHello);
    };
    let (edge, number, line) = match register(connection, shared, registration).await {
        Ok(registered) => registered,
        Err(reason) => {
            sender
                .send(&CoordinatorMessage::Refuse {
                    reason: reason.clone(),
                })
                .await?;
            sender.finish().await;
            return Err(LineError::Refused(reason));
        }
    };
    tracing::info!(%edge, "an edge is registered");
    let from = connection.remote_address().ip();
    let text = format!("registered from {from}");
    shared.feed.tell(Happening::edge("registered", &edge, text));
    let version = connection.version();
    let result = talk(&edge, version, shared, sender, receiver, line).await;
    // Only the line is lost, perhaps: the edge counts until it was silent for too long.
    shared.remove_line(&edge, number);
    if let Err(error) = &result {
        let text = format!("its line ended: {error}");
        shared.feed.tell(Happening::edge("line", &edge, text));
    }
    if shared
        .revocations
        .has_certificate(&connection.fingerprint())
    {
        tracing::warn!(%edge, "the edge's certificate is revoked; it is dropped");
        drop_edge(shared, &edge, number);
    }
    result
}

async fn register(
    connection: &MeshConnection,
    shared: &Shared,
    registration: Registration,
) -> Result<(EdgeId, u64, mpsc::Receiver<CoordinatorMessage>), String> {
    let edge = registration.edge.clone();
    if connection.peer().edge() != Some(&edge) {
        return Err(format!(
            "the hello names `{edge}`, the certificate `{}`",
            connection.peer()
        ));
    }
    let addresses = (shared.names)
        .resolve(&registration.backbone)
        .await
        .map_err(|error| error.to_string())?;
    let backbone = registration.backbone.clone();
    let now = shared.now();
    let number = shared
        .registry()
        .register(now, registration, addresses.addresses.clone())
        .map_err(|error| error.to_string())?;
    let (line, queue) = mpsc::channel(TO_EDGE);
    let heartbeat = shared.registry().topology().coordinator().heartbeat();
    let welcome = CoordinatorMessage::Welcome {
        mesh: shared.registry().topology().name().to_owned(),
        jwks: shared.signer().jwks().to_owned(),
        heartbeat_ms: heartbeat.0,
        public_url: shared.public_url(),
    };
    // Nothing comes before the welcome: nobody else knows of the line yet, and it is empty.
    let _ = line.try_send(welcome);
    let _ = line.try_send(revocations::message(shared));
    shared.add_line(edge.clone(), number, line);
    topology::tell_repairs(shared, &edge);
    if let Some(term) = shared.leading() {
        lead::announce(shared, &edge, term);
    }
    shared.publish_directory();
    // Ways may have become shorter.
    shared.look_again();
    dns::keep_fresh(shared.clone(), edge.clone(), number, backbone, addresses);
    Ok((edge, number, queue))
}

async fn talk(
    edge: &EdgeId,
    version: Version,
    shared: &Shared,
    mut sender: MessageSender<CoordinatorMessage>,
    mut receiver: MessageReceiver<EdgeMessage>,
    mut line: mpsc::Receiver<CoordinatorMessage>,
) -> Result<(), LineError> {
    loop {
        tokio::select! {
            message = line.recv() => {
                let message = message.ok_or(LineError::Replaced)?;
                // An edge of an older version would not understand it.
                if message.since() <= version {
                    sender.send(&message).await?;
                }
            }
            message = receiver.recv() => {
                match message?.ok_or(LineError::Closed)? {
                    EdgeMessage::Hello(_) => return Err(LineError::NotHello),
                    EdgeMessage::Heartbeat(heartbeat) => {
                        let now = shared.now();
                        let affected = shared.registry().heartbeat(now, edge, heartbeat);
                        shared.replan(affected);
                    }
                    EdgeMessage::Demand(demand) => {
                        let room = demand.room.clone();
                        let replan = {
                            // Told under the lock, or another edge's news could overtake it.
                            let mut registry = shared.registry();
                            let before = registry.participants(&room);
                            let replan = registry.demand(edge, demand);
                            counted(shared, &room, before, registry.participants(&room));
                            replan
                        };
                        shared.replan(replan.then_some(room));
                    }
                    EdgeMessage::Attendance(attendance) => attend(shared, edge, attendance),
                    EdgeMessage::Quality(sample) => {
                        shared.quality.measured(&shared.registry(), edge, sample);
                    }
                    EdgeMessage::Draining {} => {
                        tracing::info!(%edge, "an edge is draining");
                        let text = "takes nobody new and will go away";
                        shared.feed.tell(Happening::edge("draining", edge, text));
                        shared.registry().drain(edge);
                        shared.look_again();
                    }
                    EdgeMessage::Links(report) => {
                        let now = shared.now();
                        shared.registry().take_links(now, edge, report);
                    }
                }
            }
        }
    }
}

/// An edge tells who came to a room there and who went.
fn attend(shared: &Shared, edge: &EdgeId, attendance: Attendance) {
    let room = attendance.room.clone();
    // Told under the lock, or another edge's news could overtake it.
    let mut registry = shared.registry();
    let Some(region) = registry.edge(edge).map(|at| at.registration.region.clone()) else {
        return;
    };
    for news in registry.attend(edge, attendance, wall_ms()) {
        attended(shared, &room, edge, &region, &news);
    }
}

/// Every coordinator keeps records of its own; the one that leads tells webhooks.
fn attended(shared: &Shared, room: &MeetingId, edge: &EdgeId, region: &RegionName, news: &News) {
    if shared.leading().is_some() {
        shared.webhooks.attended(room, edge, region, news);
    }
    shared.quality.attended(room, edge, region, news);
}

/// Tells webhooks that the number of participants changed. Every coordinator hears it from the edge,
/// and the one that leads tells it.
fn counted(shared: &Shared, room: &MeetingId, before: u32, after: u32) {
    if shared.leading().is_some() {
        shared.webhooks.counted(room, before, after);
    }
}

/// How many are in each room, when anybody is told of changes.
fn counts(shared: &Shared) -> Vec<(MeetingId, u32)> {
    if !shared.webhooks.any() {
        return Vec::new();
    }
    let registry = shared.registry();
    let rooms = registry.rooms();
    rooms
        .map(|(room, _, participants, _)| (room.clone(), participants))
        .collect()
}

/// Drops edges that were not heard of for long enough, and seats that nobody took.
async fn watch_silence(shared: Shared, shutdown: CancellationToken) {
    let mut links_down = BTreeSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SILENCE_CHECK) => {}
        }
        let silence = {
            let registry = shared.registry();
            registry.topology().coordinator().silent_after().duration()
        };
        let now = shared.now();
        shared.registry().forget_old(now);
        let down = {
            let mut registry = shared.registry();
            registry.retry_links(now);
            registry.links_down()
        };
        metrics::gauge!("sluice_coordinator_links_down").set(down.len() as f64);
        for (a, b) in down.difference(&links_down) {
            tracing::warn!(%a, %b, "edges cannot use a link: plans go around it");
        }
        for (a, b) in links_down.difference(&down) {
            tracing::info!(%a, %b, "a link is tried again");
        }
        links_down = down;
        let silent = shared.registry().silent(now, silence);
        for (edge, number) in silent {
            tracing::warn!(%edge, ?silence, "an edge is silent and dropped");
            let text = format!("silent for {silence:?} and dropped");
            shared.feed.tell(Happening::edge("silent", &edge, text));
            metrics::counter!("sluice_coordinator_silent_edges_total", "edge" => edge.to_string())
                .increment(1);
            drop_edge(&shared, &edge, number);
        }
    }
}

/// An edge is gone: its rooms are planned without it.
fn drop_edge(shared: &Shared, edge: &EdgeId, number: u64) {
    let before = counts(shared);
    let region = (shared.registry().edge(edge)).map(|at| at.registration.region.clone());
    let rooms = shared.registry().drop_edge(edge, number);
    if let (Some(region), true) = (region, rooms.is_some()) {
        for (room, news) in shared.registry().lose_attendance(edge, wall_ms()) {
            attended(shared, &room, edge, &region, &news);
        }
    }
    for (room, before) in before {
        let after = shared.registry().participants(&room);
        counted(shared, &room, before, after);
    }
    shared.remove_line(edge, number);
    shared.replan(rooms.unwrap_or_default());
    shared.publish_directory();
}
