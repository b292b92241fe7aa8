//! `sluice bench load`: participants by the hundred through the public API, and what they notice.

pub(crate) mod engine;
pub(crate) mod meeting;
mod report;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sluice_wire::dtls::DtlsIdentity;

use self::engine::Engine;
pub use self::meeting::{Api, JoinError, JoinTimes};
use self::meeting::{Joiner, Participant};
pub use self::report::{LoadReport, Percentiles};
use crate::client::Camera;

/// Joins that are under way at a time.
const JOINS_AT_ONCE: usize = 16;

/// How long media runs before anything is counted.
const WARM_UP: Duration = Duration::from_secs(4);

/// Who is in each room, and for how long.
#[derive(Debug, Clone)]
pub struct Load {
    /// Rooms.
    pub rooms: usize,
    /// Participants of each room that send.
    pub publishers: usize,
    /// Participants of each room that only receive.
    pub viewers: usize,
    /// Regions that participants of each room say they are nearest to, in turn; where their
    /// addresses say they are when empty.
    pub regions: Vec<String>,
    /// What each publisher's camera sends.
    pub camera: Camera,
    /// How long to measure.
    pub duration: Duration,
}

/// Says how far something is: done, of how many.
pub type Progress<'a> = &'a dyn Fn(&str, usize, usize);

/// Everybody of a load, joined.
pub(crate) struct Crowd {
    pub(crate) engine: Engine,
    pub(crate) participants: Vec<Participant>,
}

impl Load {
    fn participants(&self) -> usize {
        self.rooms * (self.publishers + self.viewers)
    }

    /// Lets everybody join: publishers first, then viewers.
    pub(crate) async fn gather(
        &self,
        api: &Api,
        progress: Progress<'_>,
    ) -> Result<Crowd, JoinError> {
        let provider =
            rtc_crypto::default_provider().map_err(|error| JoinError::Local(error.to_string()))?;
        let identity = DtlsIdentity::generate(provider)
            .map_err(|error| JoinError::Local(error.to_string()))?;
        let engine = Engine::start().map_err(|error| JoinError::Local(error.to_string()))?;
        let mut meetings = Vec::with_capacity(self.rooms);
        for _ in 0..self.rooms {
            meetings.push(api.create_meeting(self.publishers + self.viewers).await?);
        }
        let mut joins: Vec<_> = Vec::with_capacity(self.participants());
        for nth in 0..self.publishers + self.viewers {
            for meeting in &meetings {
                let publishes = nth < self.publishers;
                joins.push(Joiner {
                    api,
                    engine: &engine,
                    identity: &identity,
                    meeting,
                    name: format!("load {nth}"),
                    region: self
                        .regions
                        .get(nth % self.regions.len().max(1))
                        .map(String::as_str),
                    camera: publishes.then_some(self.camera),
                    awaits_media: self.publishers > usize::from(publishes),
                });
            }
        }
        let total = joins.len();
        let mut waiting = joins.into_iter();
        let mut under_way: FuturesUnordered<_> = waiting
            .by_ref()
            .take(JOINS_AT_ONCE)
            .map(Joiner::join)
            .collect();
        let mut participants = Vec::with_capacity(total);
        while let Some(joined) = under_way.next().await {
            participants.push(joined?);
            progress("joined", participants.len(), total);
            under_way.extend(waiting.next().map(Joiner::join));
        }
        drop(under_way);
        Ok(Crowd {
            engine,
            participants,
        })
    }

    /// Joins, measures and leaves.
    ///
    /// # Errors
    /// When somebody cannot join.
    pub async fn run(&self, api: &Api, progress: Progress<'_>) -> Result<LoadReport, JoinError> {
        let crowd = self.gather(api, progress).await?;
        tokio::time::sleep(WARM_UP).await;
        crowd.engine.begin();
        let seconds = self.duration.as_secs().max(1);
        for second in 0..seconds {
            progress("measured", second as usize, seconds as usize);
            tokio::time::sleep(self.duration / seconds as u32).await;
        }
        progress("measured", seconds as usize, seconds as usize);
        let counted = crowd
            .engine
            .report()
            .await
            .ok_or_else(|| JoinError::Local("the clients' thread ended".to_owned()))?;
        let times = crowd.participants.iter().map(|one| one.times).collect();
        Ok(LoadReport::new(self, times, &counted))
    }
}
