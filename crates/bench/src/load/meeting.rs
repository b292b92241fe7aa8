//! Joining through the public API: REST at the coordinator, then signalling at the edge.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use sluice_types::room::Presence;
use sluice_types::signal::{
    ClientMessage, SUBPROTOCOL, ServerEvent, ServerMessage, TOKEN_SUBPROTOCOL,
};
use sluice_wire::dtls::{DtlsIdentity, Fingerprint};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::engine::{Engine, NewClient};
use crate::client::Camera;
use crate::client::publisher::Publisher;
use crate::client::sdp::{Local, Remote, SdpError};
use crate::client::transport::Transport;

/// How long joining may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The round trip that somebody measures to the region nearest to it, in milliseconds.
const NEAR_MS: u32 = 1;

/// API tokens are made for each request.
const TOKEN_S: u64 = 60;

/// Why somebody could not join.
#[derive(Debug, Error)]
pub enum JoinError {
    /// REST says no, or does not answer.
    #[error("{url}: {reason}")]
    Rest {
        /// What was asked.
        url: String,
        /// What came back.
        reason: String,
    },
    /// The edge says no, or goes away.
    #[error("signalling: {0}")]
    Signal(String),
    /// The edge's description is of no use.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// No socket, or no cryptography.
    #[error("{0}")]
    Local(String),
    /// Something did not happen in time.
    #[error("{0} did not happen within {PATIENCE:?}")]
    Late(&'static str),
}

/// A coordinator, and the right to use it.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    key: String,
    secret: String,
}

impl Api {
    /// The coordinator at `url`, with an API key `KEY:SECRET`.
    ///
    /// # Errors
    /// When the key has no secret, or there is no HTTP client.
    pub fn new(url: &str, key: &str) -> Result<Self, JoinError> {
        let (key, secret) = key
            .split_once(':')
            .ok_or_else(|| JoinError::Local("an API key is KEY:SECRET".to_owned()))?;
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                .build()
                .map_err(|error| JoinError::Local(error.to_string()))?,
            url: url.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
            secret: secret.to_owned(),
        })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, JoinError> {
        let url = format!("{}{path}", self.url);
        let failed = |reason: String| JoinError::Rest {
            url: url.clone(),
            reason,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let claims = json!({ "iss": self.key, "exp": now + TOKEN_S });
        let secret = EncodingKey::from_secret(self.secret.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &secret)
            .map_err(|error| failed(error.to_string()))?;
        let response = self
            .http
            .post(&url)
            .bearer_auth(token)
            .json(body)
            .send()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let text = response
            .text()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if !status.is_success() {
            return Err(failed(format!("{status}: {text}")));
        }
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    /// Creates a meeting for so many.
    pub(crate) async fn create_meeting(&self, participants: usize) -> Result<String, JoinError> {
        let body = json!({
            "title": "Load",
            "settings": { "max_participants": participants.max(1) },
        });
        let meeting = self.post("/v1/meetings", &body).await?;
        Ok(meeting["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks to join, as somebody who is nearest to `region` where one is named.
    async fn admit(
        &self,
        meeting: &str,
        name: &str,
        region: Option<&str>,
    ) -> Result<(String, String), JoinError> {
        let path = format!("/v1/meetings/{meeting}/join");
        let mut body = json!({ "name": name });
        if let Some(region) = region {
            body["round_trips_ms"] = json!({ region: NEAR_MS });
        }
        let admission = self.post(&path, &body).await?;
        let text = |key: &str| admission[key].as_str().unwrap_or_default().to_owned();
        Ok((text("signal_endpoint"), text("join_token")))
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(endpoint: &str, token: &str) -> Result<Socket, JoinError> {
    let failed = |error: String| JoinError::Signal(error);
    let mut request = endpoint
        .into_client_request()
        .map_err(|error| failed(error.to_string()))?;
    let protocols = format!("{SUBPROTOCOL}, {TOKEN_SUBPROTOCOL}{token}");
    let protocols = protocols
        .parse()
        .map_err(|_| failed("the token is no header value".to_owned()))?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocols);
    let (socket, _) = connect_async(request)
        .await
        .map_err(|error| failed(error.to_string()))?;
    Ok(socket)
}

async fn write(socket: &mut Socket, message: &ClientMessage) -> Result<(), JoinError> {
    let text =
        serde_json::to_string(message).map_err(|error| JoinError::Signal(error.to_string()))?;
    socket
        .send(Message::text(text))
        .await
        .map_err(|error| JoinError::Signal(error.to_string()))
}

async fn read(socket: &mut Socket) -> Result<ServerEvent, JoinError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let message: ServerMessage = serde_json::from_str(&text)
                    .map_err(|error| JoinError::Signal(error.to_string()))?;
                return Ok(message.event);
            }
            Some(Ok(Message::Close(_))) | None => {
                return Err(JoinError::Signal("the edge closed the socket".to_owned()));
            }
            Some(Err(error)) => return Err(JoinError::Signal(error.to_string())),
            Some(Ok(_)) => {}
        }
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel fails this only before it is seeded.
    getrandom::fill(&mut bytes).expect("the system's random source works");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long the steps of one join took, from the request on.
#[derive(Debug, Clone, Copy)]
pub struct JoinTimes {
    /// Until REST had answered.
    pub admitted: Duration,
    /// Until ICE and DTLS were up.
    pub connected: Duration,
    /// Until the first picture of anybody was whole; `None` when none came.
    pub first_media: Option<Duration>,
}

/// Somebody in a meeting; leaves when dropped.
pub(crate) struct Participant {
    pub(crate) times: JoinTimes,
    _signalling: Abort,
}

struct Abort(tokio::task::AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who joins, and as what.
pub(crate) struct Joiner<'a> {
    pub(crate) api: &'a Api,
    pub(crate) engine: &'a Engine,
    pub(crate) identity: &'a DtlsIdentity,
    pub(crate) meeting: &'a str,
    pub(crate) name: String,
    /// The region that it says it is nearest to.
    pub(crate) region: Option<&'a str>,
    /// What it sends; `None` for a viewer.
    pub(crate) camera: Option<Camera>,
    /// Whether a picture will come, and is to be waited for.
    pub(crate) awaits_media: bool,
}

impl Joiner<'_> {
    pub(crate) async fn join(self) -> Result<Participant, JoinError> {
        let started = Instant::now();
        let (endpoint, token) = self
            .api
            .admit(self.meeting, &self.name, self.region)
            .await?;
        let admitted = started.elapsed();
        let mut socket = timeout(PATIENCE, open(&endpoint, &token))
            .await
            .map_err(|_| JoinError::Late("opening the WebSocket"))??;
        let local = self.describe(self.identity.fingerprint());
        let hello = ClientMessage::Hello {
            sdp_offer: local.offer(),
            tracks: Vec::new(),
            presence: Presence::default(),
        };
        write(&mut socket, &hello).await?;
        let remote = timeout(PATIENCE, answer(&mut socket))
            .await
            .map_err(|_| JoinError::Late("the edge's answer"))??;
        let (connected, is_connected) = oneshot::channel();
        let (first_media, has_media) = oneshot::channel();
        self.engine
            .add(self.client(&local, remote, connected, first_media)?);
        let task = tokio::spawn(converse(socket, local));
        let signalling = Abort(task.abort_handle());
        timeout(PATIENCE, is_connected)
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(JoinError::Late("connecting"))?;
        let connected = started.elapsed();
        let mut times = JoinTimes {
            admitted,
            connected,
            first_media: None,
        };
        if self.awaits_media {
            timeout(PATIENCE, has_media)
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(JoinError::Late("the first picture"))?;
            times.first_media = Some(started.elapsed());
        }
        Ok(Participant {
            times,
            _signalling: signalling,
        })
    }

    fn describe(&self, fingerprint: Fingerprint) -> Local {
        let [a, b, c, d] = random::<4>();
        let ssrc = u32::from_be_bytes([a, b, c, d & 0xfe]);
        Local {
            ufrag: hex(&random::<4>()),
            password: hex(&random::<16>()),
            fingerprint,
            publishes: self.camera.map(|_| (ssrc, ssrc | 1)),
        }
    }

    fn client(
        &self,
        local: &Local,
        remote: Remote,
        connected: oneshot::Sender<()>,
        first_media: oneshot::Sender<()>,
    ) -> Result<NewClient, JoinError> {
        let any = if remote.address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let address = any
            .parse()
            .map_err(|_| JoinError::Local("no address".to_owned()))?;
        let socket = sluice_wire::udp::bind(address)
            .map_err(|error| JoinError::Local(format!("no socket: {error}")))?;
        let to = remote.address;
        let transport = Transport::new(Instant::now(), self.identity.clone(), local, remote)
            .ok_or_else(|| JoinError::Local("no STUN request".to_owned()))?;
        let publisher = self
            .camera
            .zip(local.publishes)
            .map(|(camera, ssrcs)| Publisher::new(ssrcs, camera));
        Ok(NewClient {
            socket,
            remote: to,
            transport,
            publisher,
            connected,
            first_media,
        })
    }
}

async fn answer(socket: &mut Socket) -> Result<Remote, JoinError> {
    loop {
        match read(socket).await? {
            ServerEvent::Answer { sdp_answer, .. } => return Ok(Remote::read(&sdp_answer)?),
            ServerEvent::Error { message, .. } => return Err(JoinError::Signal(message)),
            _ => {}
        }
    }
}

/// Answers the edge's offers until the socket closes.
async fn converse(mut socket: Socket, local: Local) {
    let mut version = 1;
    while let Ok(event) = read(&mut socket).await {
        if let ServerEvent::Offer {
            sdp_offer,
            revision,
            ..
        } = event
        {
            version += 1;
            let sdp_answer = local.answer(&sdp_offer, version);
            let answer = ClientMessage::Answer {
                sdp_answer,
                revision,
            };
            if write(&mut socket, &answer).await.is_err() {
                return;
            }
        }
    }
}
