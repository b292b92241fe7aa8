//! A call that is watched while something fails: one publisher, and a viewer in each of some regions.

use std::time::Duration;

use sluice_wire::dtls::DtlsIdentity;

use crate::client::{Camera, StreamReport};
use crate::load::engine::Engine;
use crate::load::meeting::{Joiner, Participant};
use crate::load::{Api, JoinError};

/// What the publisher's camera sends: half a megabit a second.
const CAMERA: Camera = Camera {
    packets_per_frame: 2,
    packet_bytes: 1_000,
};

/// What one viewer went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Endured {
    /// The longest time without sound.
    pub sound_gap: Duration,
    /// The longest time without pictures that can be decoded.
    pub picture_gap: Duration,
    /// Packets that never came, of sound and pictures together.
    pub lost: u64,
    /// Packets that came.
    pub received: u64,
}

impl Endured {
    fn of(streams: &[StreamReport]) -> Self {
        let gap = |audio: bool, of: fn(&StreamReport) -> Duration| {
            let streams = streams.iter().filter(|stream| stream.audio == audio);
            streams.map(of).max().unwrap_or_default()
        };
        Self {
            sound_gap: gap(true, |stream| stream.gap),
            picture_gap: gap(false, |stream| stream.blind),
            lost: streams.iter().map(|stream| stream.lost).sum(),
            received: streams.iter().map(|stream| stream.received).sum(),
        }
    }
}

/// See the module. Everybody leaves when it is dropped.
pub struct Call {
    engine: Engine,
    _participants: Vec<Participant>,
}

impl Call {
    /// Lets everybody join, and waits until each viewer has pictures.
    ///
    /// # Errors
    /// When somebody cannot join.
    pub async fn start(api: &Api, publisher: &str, viewers: &[String]) -> Result<Self, JoinError> {
        let provider =
            rtc_crypto::default_provider().map_err(|error| JoinError::Local(error.to_string()))?;
        let identity = DtlsIdentity::generate(provider)
            .map_err(|error| JoinError::Local(error.to_string()))?;
        let engine = Engine::start().map_err(|error| JoinError::Local(error.to_string()))?;
        let meeting = api.create_meeting(1 + viewers.len()).await?;
        let mut participants = Vec::new();
        let regions = std::iter::once(publisher).chain(viewers.iter().map(String::as_str));
        for (n, region) in regions.enumerate() {
            let joiner = Joiner {
                api,
                engine: &engine,
                identity: &identity,
                meeting: &meeting,
                name: format!("watched {n}"),
                region: Some(region),
                camera: (n == 0).then_some(CAMERA),
                awaits_media: n > 0,
            };
            participants.push(joiner.join().await?);
        }
        Ok(Self {
            engine,
            _participants: participants,
        })
    }

    /// Notes from now on.
    pub fn begin(&self) {
        self.engine.begin();
    }

    /// What each viewer went through since; `None` when the clients' thread has ended.
    pub async fn endured(&self) -> Option<Vec<Endured>> {
        let counted = self.engine.report().await?;
        let viewers = counted.viewers.iter().skip(1);
        Some(viewers.map(|streams| Endured::of(streams)).collect())
    }
}
