//! A signalling client that is held to the protocol's promises as it goes.

use futures_util::{SinkExt, StreamExt};
use sluice_types::access::JoinClaims;
use sluice_types::ids::ResumeToken;
use sluice_types::room::{Presence, PresenceChange};
use sluice_types::signal::{
    ClientMessage, ErrorCode, ParticipantView, PublishedTrack, ReceivedTrack, SUBPROTOCOL,
    ServerEvent, ServerMessage,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::edge::{Edge, within};
use crate::sdp;

/// The answer of an edge that does not upgrade.
pub(crate) type Refused = Response<Option<Vec<u8>>>;

/// One socket, and what came over it.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The highest `seq` so far.
    pub(crate) seq: u64,
}

/// What a client knows after joining.
pub(crate) struct Joined {
    pub(crate) client: Client,
    pub(crate) you: ParticipantView,
    pub(crate) others: Vec<ParticipantView>,
    pub(crate) resume_token: ResumeToken,
    pub(crate) published: Vec<PublishedTrack>,
}

/// An offer of the edge.
pub(crate) struct Offered {
    pub(crate) sdp: String,
    pub(crate) revision: u64,
    pub(crate) tracks: Vec<ReceivedTrack>,
}

impl Client {
    /// Opens a socket with these subprotocols and this `Authorization`.
    pub(crate) async fn open(
        edge: &Edge,
        query: &str,
        subprotocols: &str,
        authorization: Option<&str>,
    ) -> Result<Self, Box<Refused>> {
        let url = format!("ws://{}/v1/signal{query}", edge.http);
        let mut request = url.into_client_request().expect("a request");
        let fields = request.headers_mut();
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        if !subprotocols.is_empty() {
            fields.insert("sec-websocket-protocol", value(subprotocols));
        }
        if let Some(authorization) = authorization {
            fields.insert("authorization", value(authorization));
        }
        match within(connect_async(request)).await {
            Ok((socket, response)) => {
                let chosen = response.headers().get("sec-websocket-protocol");
                let chosen = chosen.map(|chosen| chosen.as_bytes());
                assert_eq!(chosen, Some(SUBPROTOCOL.as_bytes()));
                Ok(Self { socket, seq: 0 })
            }
            Err(Error::Http(response)) => Err(response),
            Err(error) => panic!("{error}"),
        }
    }

    /// As a browser does it.
    pub(crate) async fn with_token(edge: &Edge, token: &str) -> Result<Self, Box<Refused>> {
        let subprotocols = format!("{SUBPROTOCOL}, sluice.token.{token}");
        Self::open(edge, "", &subprotocols, None).await
    }

    /// With the secret of a snapshot.
    pub(crate) async fn with_resume_token(edge: &Edge, token: &str) -> Result<Self, Box<Refused>> {
        let subprotocols = format!("{SUBPROTOCOL}, sluice.resume.{token}");
        Self::open(edge, "", &subprotocols, None).await
    }

    pub(crate) async fn send(&mut self, message: &ClientMessage) {
        let text = serde_json::to_string(message).expect("JSON");
        self.send_raw(Message::text(text)).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        within(self.socket.send(message)).await.expect("sent");
    }

    pub(crate) async fn hand(&mut self, raised: bool) {
        let change = PresenceChange {
            hand_raised: Some(raised),
            ..PresenceChange::default()
        };
        self.send(&ClientMessage::Presence(change)).await;
    }

    /// The next message as it is; the close frame when the socket ends.
    pub(crate) async fn next(&mut self) -> Result<ServerMessage, Option<CloseFrame>> {
        // The edge's pings do not count as an answer.
        let text = within(async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text),
                    Some(Ok(Message::Close(frame))) => return Err(frame),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(None),
                }
            }
        })
        .await?;
        let message: ServerMessage = serde_json::from_str(&text).expect("an event");
        if let Some(seq) = message.seq {
            assert_eq!(seq, self.seq + 1, "numbers have no gap");
            self.seq = seq;
        }
        Ok(message)
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> ServerEvent {
        self.next().await.expect("an event").event
    }

    /// The next event for which `wanted` gives something; the others are passed over.
    pub(crate) async fn find<T>(&mut self, wanted: impl Fn(ServerEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await) {
                return found;
            }
        }
    }

    pub(crate) async fn offered(&mut self) -> Offered {
        self.find(|event| match event {
            ServerEvent::Offer {
                sdp_offer,
                revision,
                tracks,
            } => Some(Offered {
                sdp: sdp_offer,
                revision,
                tracks,
            }),
            _ => None,
        })
        .await
    }

    /// The next error.
    pub(crate) async fn error(&mut self) -> (ErrorCode, bool) {
        self.find(|event| match event {
            ServerEvent::Error { code, fatal, .. } => Some((code, fatal)),
            _ => None,
        })
        .await
    }

    /// How the socket ends, after whatever comes before.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            if let Err(frame) = self.next().await {
                return frame;
            }
        }
    }

    /// Says hello with an offer of a microphone and a camera.
    pub(crate) async fn hello(&mut self) {
        let hello = ClientMessage::Hello {
            sdp_offer: sdp::OFFER.into(),
            tracks: Vec::new(),
            presence: Presence::default(),
        };
        self.send(&hello).await;
    }
}

impl Joined {
    /// Joins, and waits for the snapshot and the answer.
    pub(crate) async fn new(edge: &Edge, claims: &JoinClaims) -> Self {
        let token = edge.signer.token(claims);
        let client = Client::with_token(edge, &token).await;
        let mut client = client.unwrap_or_else(|refused| panic!("{refused:?}"));
        client.hello().await;
        let ServerEvent::Snapshot {
            meeting_id,
            you,
            participants: others,
            resume_token,
            ..
        } = client.event().await
        else {
            panic!("a snapshot first");
        };
        assert_eq!(meeting_id, claims.meeting_id);
        assert_eq!(you.participant_id, claims.participant_id);
        let answered = |event| match event {
            ServerEvent::Answer { sdp_answer, tracks } => Some((sdp_answer, tracks)),
            _ => None,
        };
        let (sdp_answer, published) = client.find(answered).await;
        assert!(sdp_answer.contains("a=ice-lite"), "{sdp_answer}");
        Self {
            client,
            you,
            others,
            resume_token,
            published,
        }
    }
}
