//! A coordinator's REST.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::PATIENCE;

/// The API key of the mesh.
const KEY: &str = "testkey";
const SECRET: &str = "testsecret-testsecret-testsecret-1";

/// Who joined where.
pub struct Admitted {
    /// The WebSocket endpoint.
    pub signal: String,
    /// The join token.
    pub token: String,
    /// The region that was chosen.
    pub region: String,
}

/// See the module.
#[derive(Clone)]
pub struct Rest {
    http: reqwest::Client,
    /// Its beginning.
    pub url: String,
}

impl Rest {
    /// That of a coordinator at this address.
    pub fn new(at: SocketAddr) -> Self {
        Self {
            http: reqwest::Client::builder()
                .no_proxy()
                // One that is paused takes the request and never answers.
                .timeout(Duration::from_secs(5))
                .build()
                .expect("a client"),
            url: format!("http://{at}"),
        }
    }

    /// The API key of the meshes of tests, which may operate them too, as coordinators are told of it.
    pub fn operator() -> String {
        format!("{KEY}:{SECRET}:test:ops")
    }

    /// The same key, as its users have it.
    pub fn key() -> String {
        format!("{KEY}:{SECRET}")
    }

    fn token() -> String {
        let claims = json!({ "iss": KEY, "exp": 4_000_000_000_u64 });
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("signed")
    }

    /// One request of REST: its status and its answer.
    pub async fn call(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let response = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(Self::token())
            .json(body)
            .send()
            .await
            .expect("the coordinator answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What the ops view says, once it satisfies `wanted`.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while tokio::time::Instant::now() < deadline {
            let asked = self
                .http
                .get(format!("{}/v1/ops/state", self.url))
                .bearer_auth(Self::token())
                .send()
                .await;
            if let Ok(response) = asked
                && let Ok(state) = response.json().await
            {
                if wanted(&state) {
                    return state;
                }
                last = state;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: not within {PATIENCE:?}; last: {last:#}");
    }

    /// Creates a meeting and gives its id.
    pub async fn meeting(&self) -> String {
        let (status, meeting) = self
            .call(reqwest::Method::POST, "/v1/meetings", &json!({}))
            .await;
        assert_eq!(status, 201, "{meeting}");
        meeting["id"].as_str().expect("an id").to_owned()
    }

    /// Joins as somebody who is nearest to `region`.
    pub async fn join(&self, meeting: &str, region: &str, name: &str) -> Admitted {
        let body = json!({ "name": name, "round_trips_ms": { region: 1 } });
        let path = format!("/v1/meetings/{meeting}/join");
        let (status, admission) = self.call(reqwest::Method::POST, &path, &body).await;
        assert_eq!(status, 200, "{admission}");
        let text = |key: &str| admission[key].as_str().expect("text").to_owned();
        Admitted {
            signal: text("signal_endpoint"),
            token: text("join_token"),
            region: text("region"),
        }
    }
}
