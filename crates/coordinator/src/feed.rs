//! What happens in the mesh, for those who watch it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use sluice_types::ids::{EdgeId, MeetingId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::state::wall_ms;

/// Happenings that wait for one who watches. Who falls behind further misses the oldest, and is told
/// how many.
const WAITING: usize = 256;

/// Happenings that one who begins to watch is told of.
const RECENT: usize = 50;

/// How many watch at once; others are refused.
const WATCHERS_MAX: usize = 32;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Happening {
    /// When, in milliseconds since 1970.
    at_ms: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<EdgeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<MeetingId>,
    text: String,
}

impl Happening {
    /// Of an edge.
    pub(crate) fn edge(kind: &'static str, edge: &EdgeId, text: impl Into<String>) -> Self {
        Self {
            at_ms: wall_ms(),
            kind,
            edge: Some(edge.clone()),
            room: None,
            text: text.into(),
        }
    }

    /// Of a room.
    pub(crate) fn room(kind: &'static str, room: &MeetingId, text: impl Into<String>) -> Self {
        Self {
            at_ms: wall_ms(),
            kind,
            edge: None,
            room: Some(room.clone()),
            text: text.into(),
        }
    }
}

/// See the module.
pub(crate) struct Feed {
    sender: broadcast::Sender<Arc<Happening>>,
    recent: Mutex<VecDeque<Arc<Happening>>>,
    watchers: Arc<Semaphore>,
}

/// One who watches, counted until it is dropped.
pub(crate) struct Watch {
    /// What happened before.
    pub(crate) recent: Vec<Arc<Happening>>,
    /// What happens from then on.
    pub(crate) happenings: broadcast::Receiver<Arc<Happening>>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(WAITING),
            recent: Mutex::default(),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }
}

impl Feed {
    fn recent(&self) -> MutexGuard<'_, VecDeque<Arc<Happening>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, happening: Happening) {
        let happening = Arc::new(happening);
        let mut recent = self.recent();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&happening));
        // Sent under the lock, so that who begins to watch hears of it once. Nobody watches when it
        // fails.
        let _ = self.sender.send(happening);
    }

    /// Begins to watch; `None` when too many do.
    pub(crate) fn watch(&self) -> Option<Watch> {
        let permit = Arc::clone(&self.watchers).try_acquire_owned().ok()?;
        let recent = self.recent();
        Some(Watch {
            recent: recent.iter().cloned().collect(),
            happenings: self.sender.subscribe(),
            _permit: permit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_begins_to_watch_hears_what_was_and_what_comes_each_once() {
        let feed = Feed::default();
        let edge: EdgeId = "paris-1".parse().expect("an edge");
        let tell = |n: usize| feed.tell(Happening::edge("registered", &edge, n.to_string()));
        (0..60).for_each(tell);
        let mut watch = feed.watch().expect("room");
        let texts: Vec<_> = watch.recent.iter().map(|known| &*known.text).collect();
        assert_eq!((texts.len(), texts[0], texts[49]), (RECENT, "10", "59"));
        tell(60);
        assert_eq!(watch.happenings.recv().await.expect("told").text, "60");
    }

    #[test]
    fn only_so_many_watch() {
        let feed = Feed::default();
        let mut watching: Vec<_> = std::iter::from_fn(|| feed.watch()).collect();
        assert_eq!(watching.len(), WATCHERS_MAX);
        watching.pop();
        assert!(feed.watch().is_some());
    }
}
