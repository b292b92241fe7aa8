//! A call that is watched while something fails: one publisher, and a viewer in each of some regions.

use std::time::Duration;

use serde_json::Value;
use sluice_types::ids::EdgeId;
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
    /// The longest stretch of sound, by its own timestamps, that is missing.
    pub sound_hole: Duration,
    /// The longest stretch of pictures, by their own timestamps, that cannot be decoded.
    pub picture_hole: Duration,
    /// Packets of pictures that can be decoded.
    pub pictures: u64,
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
            sound_hole: gap(true, |stream| stream.hole),
            picture_hole: gap(false, |stream| stream.hole),
            pictures: {
                let pictures = streams.iter().filter(|stream| !stream.audio);
                pictures.map(|stream| stream.good).sum()
            },
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

/// An edge without participants that the tracks of `home` pass, and one that receives from it, in what the
/// coordinator says of the mesh; with a backup, if that is asked for.
#[must_use]
pub fn in_the_middle(state: &Value, home: &EdgeId, with_backup: bool) -> Option<(EdgeId, EdgeId)> {
    let edges = state["edges"].as_array()?;
    let is_empty = |edge: &Value| {
        let mut edges = edges.iter();
        edges.any(|one| one["edge"] == *edge && one["participants"] == 0)
    };
    let mut trees = state["rooms"]
        .as_array()?
        .iter()
        .flat_map(|room| room["trees"].as_array());
    let tree = trees.find_map(|trees| trees.iter().find(|tree| tree["root"] == home.as_str()))?;
    let branches = tree["branches"].as_array()?;
    // The last in the tree is the farthest.
    let behind = branches.iter().rev().find(|branch| {
        let parent = &branch["parent"];
        *parent != home.as_str()
            && is_empty(parent)
            && !is_empty(&branch["edge"])
            && (!with_backup || branch["backup"].is_string())
    })?;
    let edge = |value: &Value| value.as_str()?.parse().ok();
    edge(&behind["parent"]).zip(edge(&behind["edge"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_one_in_the_middle_has_nobody_and_feeds_somebody() {
        let state = json!({
            "edges": [
                { "edge": "paris-1", "participants": 1 },
                { "edge": "mumbai-1", "participants": 0 },
                { "edge": "singapore-1", "participants": 0 },
                { "edge": "sydney-1", "participants": 1 },
            ],
            "rooms": [{ "trees": [{ "root": "paris-1", "branches": [
                { "edge": "mumbai-1", "parent": "paris-1", "backup": null },
                { "edge": "singapore-1", "parent": "mumbai-1", "backup": null },
                { "edge": "sydney-1", "parent": "singapore-1", "backup": "tokyo-1" },
            ] }] }],
        });
        let home = "paris-1".parse().expect("an edge");
        let (middle, behind) = in_the_middle(&state, &home, true).expect("there is one");
        assert_eq!(
            (middle.as_str(), behind.as_str()),
            ("singapore-1", "sydney-1")
        );
    }
}
