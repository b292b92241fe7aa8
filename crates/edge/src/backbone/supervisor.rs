//! Which connections there are: takes them in, dials them, replaces and buries them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::{MeshConnection, MeshEndpoint};
use sluice_relay::duplicate::{self, gives_up_dialling};
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::Overhead;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::dial::{Ready, dial, greet};
use super::link::{self, Link};
use super::{BackboneEvent, BackboneSettings, Command, Overheads};

/// How long peers get to take the goodbye.
const GOODBYE: Duration = Duration::from_millis(300);

/// Where edges are reached.
pub(super) type Directory = HashMap<EdgeId, Vec<SocketAddr>>;

/// A connection that ended, and whom it was to.
type Ended = (EdgeId, MeshConnection);

/// A connection in use.
struct Up {
    link: Link,
    region: RegionName,
    /// This edge dialled it.
    dialled: bool,
    task: AbortOnDropHandle<()>,
}

pub(super) struct Supervisor {
    endpoint: Arc<MeshEndpoint>,
    settings: BackboneSettings,
    events: mpsc::Sender<BackboneEvent>,
    directory: watch::Sender<Directory>,
    wanted: BTreeSet<EdgeId>,
    dialling: BTreeMap<EdgeId, AbortOnDropHandle<()>>,
    up: BTreeMap<EdgeId, Up>,
    overheads: Overheads,
    ready: (mpsc::Sender<Ready>, mpsc::Receiver<Ready>),
    done: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
}

impl Supervisor {
    pub(super) fn new(
        endpoint: MeshEndpoint,
        settings: BackboneSettings,
        events: mpsc::Sender<BackboneEvent>,
    ) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            settings,
            events,
            directory: watch::Sender::new(Directory::new()),
            wanted: BTreeSet::new(),
            dialling: BTreeMap::new(),
            up: BTreeMap::new(),
            overheads: Overheads::new(),
            ready: mpsc::channel(16),
            done: mpsc::channel(16),
        }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        shutdown: CancellationToken,
    ) {
        let endpoint = self.endpoint.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                accepted = endpoint.accept() => match accepted {
                    Some(connection) => self.accept(connection),
                    None => break,
                },
                Some(ready) = self.ready.1.recv() => self.take_in(ready).await,
                Some((peer, connection)) = self.done.1.recv() => {
                    self.bury(peer, &connection).await;
                }
            }
        }
        self.go_away().await;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Directory(edges) => {
                let directory = edges
                    .into_iter()
                    .map(|edge| (edge.edge, edge.backbone))
                    .collect();
                // Sent also while nobody dials.
                self.directory.send_replace(directory);
            }
            Command::Overheads(overheads) => {
                self.overheads = overheads;
                for up in self.up.values() {
                    up.link.set_overhead(self.overhead(&up.region));
                }
            }
            Command::Connect(peer) => {
                self.wanted.insert(peer.clone());
                self.dial(peer);
            }
            Command::Disconnect(peer) => {
                self.wanted.remove(&peer);
                self.dialling.remove(&peer);
            }
        }
    }

    fn overhead(&self, region: &RegionName) -> Overhead {
        self.overheads.get(region).copied().unwrap_or_default()
    }

    fn dial(&mut self, peer: EdgeId) {
        if self.up.contains_key(&peer)
            || self.dialling.contains_key(&peer)
            || peer == self.settings.edge
        {
            return;
        }
        let attempt = dial(
            self.endpoint.clone(),
            peer.clone(),
            self.settings.clone(),
            self.directory.subscribe(),
        );
        let ready = self.ready.0.clone();
        let task = tokio::spawn(async move {
            // The supervisor is gone when this fails.
            let _ = ready.send(attempt.await).await;
        });
        self.dialling.insert(peer, AbortOnDropHandle::new(task));
    }

    fn accept(&self, connection: MeshConnection) {
        let (settings, ready) = (self.settings.clone(), self.ready.0.clone());
        tokio::spawn(async move {
            match greet(connection, &settings.edge, &settings.region, false).await {
                // The supervisor is gone when this fails.
                Ok(connection) => drop(ready.send(connection).await),
                Err(error) => tracing::info!(%error, "a backbone connection is refused"),
            }
        });
    }

    /// Takes in a new connection, unless there is one that stays.
    async fn take_in(&mut self, ready: Ready) {
        let Ready {
            peer,
            region,
            connection,
            sender,
            receiver,
            dialled,
        } = ready;
        if gives_up_dialling(&self.settings.edge, &peer, dialled) {
            self.dialling.remove(&peer);
        }
        let replaces = match self.up.get(&peer) {
            Some(before) => {
                if !duplicate::replaces(&self.settings.edge, &peer, before.dialled, dialled) {
                    connection.close(CloseCode::Duplicate, "there is one already");
                    return;
                }
                true
            }
            None => false,
        };
        if let Some(before) = self.up.remove(&peer) {
            stop(before, CloseCode::Duplicate).await;
        }
        let version = connection.version();
        tracing::info!(%peer, dialled, replaces, %version, "a backbone connection is up");
        let (link, carry) = link::open(
            peer.clone(),
            connection,
            (sender, receiver),
            self.settings.silence,
            self.events.clone(),
            self.done.0.clone(),
        );
        link.set_overhead(self.overhead(&region));
        // Said before the first message is read: nothing that comes over a link may come before it.
        let event = if replaces {
            BackboneEvent::PeerReplaced {
                peer: peer.clone(),
                link: link.clone(),
            }
        } else {
            BackboneEvent::PeerUp {
                peer: peer.clone(),
                link: link.clone(),
            }
        };
        self.say(event).await;
        let task = AbortOnDropHandle::new(tokio::spawn(carry));
        self.up.insert(
            peer,
            Up {
                link,
                region,
                dialled,
                task,
            },
        );
        self.count();
    }

    /// A connection ended; if it is still the one in use, the peer is down.
    async fn bury(&mut self, peer: EdgeId, connection: &MeshConnection) {
        let in_use = self
            .up
            .get(&peer)
            .is_some_and(|up| up.link.same_as(connection));
        if in_use && let Some(gone) = self.up.remove(&peer) {
            stop(gone, CloseCode::Done).await;
            self.say(BackboneEvent::PeerDown { peer: peer.clone() })
                .await;
            self.count();
        }
        if self.wanted.contains(&peer) {
            self.dial(peer);
        }
    }

    fn count(&self) {
        metrics::gauge!("sluice_backbone_connections").set(self.up.len() as f64);
    }

    async fn say(&self, event: BackboneEvent) {
        // The hub is gone when this fails, and the edge with it.
        let _ = self.events.send(event).await;
    }

    async fn go_away(self) {
        for up in self.up.values() {
            up.link.goodbye();
        }
        if !self.up.is_empty() {
            tokio::time::sleep(GOODBYE).await;
        }
        self.endpoint.close("the edge goes away").await;
    }
}

/// Closes a connection. When this returns, nothing more is said of what came over it.
async fn stop(up: Up, code: CloseCode) {
    up.link.close(code, "replaced");
    up.task.abort();
    // It ends by being aborted, which is no error here.
    let _ = up.task.await;
}
