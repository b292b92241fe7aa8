//! What `sluice dev` asks of the mesh that it started.

use std::time::Duration;

use serde_json::{Value, json};

use super::local::DevEdge;
use super::{API_KEY, API_SECRET, COORDINATOR};
use crate::ops::api_token;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tokens last a minute and are made for each request.
const TOKEN_S: u64 = 60;

pub(crate) struct Client(reqwest::Client);

fn token() -> Option<String> {
    api_token(&format!("{API_KEY}:{API_SECRET}"), TOKEN_S).ok()
}

impl Client {
    pub(super) fn new() -> Result<Self, String> {
        reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }

    async fn ok(&self, url: &str) -> bool {
        match self.0.get(url).send().await {
            Ok(response) => response.status().is_success(),
            Err(_) => false,
        }
    }

    /// Whether a call would succeed: every edge is ready and registered.
    pub(super) async fn is_ready(&self, edges: &[DevEdge]) -> bool {
        for edge in edges {
            if !self.ok(&format!("{}/readyz", edge.url())).await {
                return false;
            }
        }
        let registered = self
            .state()
            .await
            .and_then(|state| Some(state["edges"].as_array()?.len()));
        registered == Some(edges.len())
    }

    pub(crate) async fn state(&self) -> Option<Value> {
        let url = format!("{COORDINATOR}/v1/ops/state");
        let response = self.0.get(url).bearer_auth(token()?).send().await.ok()?;
        response.json().await.ok()
    }

    /// Has an edge drained.
    pub(crate) async fn drain(&self, edge: &str) -> Result<(), String> {
        let failed = |error: reqwest::Error| format!("{edge} cannot be drained: {error}");
        let url = format!("{COORDINATOR}/v1/ops/edges/{edge}/drain");
        let request = self.0.post(url).bearer_auth(token().unwrap_or_default());
        let response = request.send().await.map_err(failed)?;
        response.error_for_status().map_err(failed).map(drop)
    }

    /// Creates the meeting that everybody may join, and gives its link.
    pub(super) async fn create_meeting(&self) -> Result<String, String> {
        let failed = |error: reqwest::Error| format!("no meeting can be created: {error}");
        let url = format!("{COORDINATOR}/v1/meetings");
        let body = json!({ "title": "Development" });
        let meeting: Value = self
            .0
            .post(url)
            .bearer_auth(token().unwrap_or_default())
            .json(&body)
            .send()
            .await
            .map_err(failed)?
            .json()
            .await
            .map_err(failed)?;
        meeting["join_url"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("no meeting can be created: {meeting}"))
    }
}
