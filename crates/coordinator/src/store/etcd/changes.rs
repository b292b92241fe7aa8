//! What others write, as it is written.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, GetOptions, WatchOptions};
use sluice_types::mesh::control::RoomPlan;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::super::{Change, StoreError};
use super::keys::{Keys, Kind};
use super::members::Members;

/// Changes that wait to be taken. When there are more, etcd's own queue grows, and then it says that
/// it has forgotten some.
pub(super) const CHANGES: usize = 4_096;

/// How long to wait before watching anew.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a member may take to begin a watch.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Watching {
    pub(super) members: Arc<Members>,
    pub(super) keys: Arc<Keys>,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) vacant: Arc<Notify>,
}

impl Watching {
    /// Watches for as long as somebody takes the changes.
    pub(super) async fn run(self) {
        loop {
            let (at, _) = self.members.current();
            match self.watch().await {
                Ok(()) => return,
                Err(error) => tracing::info!(%error, "what the store tells has a gap"),
            }
            self.members.turn_from(at);
            sleep(PAUSE).await;
        }
    }

    /// Everything from now on; `Ok` when nobody listens.
    async fn watch(&self) -> Result<(), StoreError> {
        let failed = |error: etcd_client::Error| StoreError::Unavailable(error.to_string());
        let all = self.keys.all();
        let now = self
            .members
            .call(|mut client| async move {
                let count = GetOptions::new().with_prefix().with_count_only();
                client.get(all, Some(count)).await
            })
            .await?;
        let revision = now.header().map_or(0, |header| header.revision());
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(revision + 1);
        let (_, mut client) = self.members.current();
        let watching = timeout(PATIENCE, client.watch(all, Some(options))).await;
        let late = |_| StoreError::Unavailable("no answer to a watch".to_owned());
        let mut stream = watching.map_err(late)?.map_err(failed)?;
        if self.changes.send(Change::Anything).await.is_err() {
            return Ok(());
        }
        self.vacant.notify_one();
        while let Some(response) = stream.message().await.map_err(failed)? {
            if response.canceled() {
                return Err(StoreError::Unavailable(response.cancel_reason().to_owned()));
            }
            for event in response.events() {
                if let Some(change) = self.change(event)
                    && self.changes.send(change).await.is_err()
                {
                    return Ok(());
                }
            }
        }
        Err(StoreError::Unavailable("the watch ended".to_owned()))
    }

    fn change(&self, event: &etcd_client::Event) -> Option<Change> {
        let pair = event.kv()?;
        let is_put = event.event_type() == EventType::Put;
        match self.keys.kind(pair.key()) {
            Kind::Leader => {
                if !is_put {
                    self.vacant.notify_one();
                }
                None
            }
            Kind::Meeting(id) => Some(Change::Meeting(id)),
            Kind::Plan(room) if is_put => plan(room, pair.value()).map(Change::Plan),
            Kind::Plan(room) => Some(Change::NoPlan(room)),
            Kind::Topology => is_put.then_some(Change::Topology),
            Kind::SigningKey => is_put.then_some(Change::SigningKeys),
            Kind::Revocation => Some(Change::Revocations),
            Kind::Waiting if is_put => {
                let waiting = serde_json::from_slice(pair.value());
                waiting.ok().map(Change::Waiting)
            }
            Kind::Waiting | Kind::Other => None,
        }
    }
}

/// A plan as it is kept.
pub(super) fn plan(room: sluice_types::ids::MeetingId, value: &[u8]) -> Option<RoomPlan> {
    let plan: Result<RoomPlan, _> = serde_json::from_slice(value);
    plan.inspect_err(|error| tracing::warn!(%room, %error, "a plan of the store cannot be read"))
        .ok()
}
