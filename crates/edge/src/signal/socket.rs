//! One WebSocket, from its upgrade to its end.

use std::time::Duration;

use sluice_sfu::room::EVENTS_KEPT_MAX;
use sluice_trace::Trace;
use sluice_types::access::JoinClaims;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::signal::{ClientMessage, ErrorCode, ServerEvent, ServerMessage};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::Instrument;

use super::frames::{Frames, Said};
use crate::http::App;
use crate::hub::{Hello, HubCommand, SocketHandle, ToSocket};

/// Messages that wait for a slow client: all that a session keeps, so that a resumption fits at
/// once, and as many new ones. When they are too many, the socket is closed; its session stays, and
/// the client resumes.
const OUTGOING: usize = 2 * EVENTS_KEPT_MAX;

/// How long the first message may take.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// How often the edge pings, and how long it waits for any sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How long a message may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages a second on average, and at once.
const MESSAGES_PER_S: f64 = 20.0;
const MESSAGES_BURST: f64 = 60.0;

/// The WebSocket close codes in use (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
const POLICY: u16 = 1008;

/// What a socket was opened with.
pub(super) enum Opening {
    Join(Box<JoinClaims>),
    Resume {
        room: MeetingId,
        participant: ParticipantId,
    },
}

impl Opening {
    fn names(&self) -> (MeetingId, ParticipantId) {
        match self {
            Self::Join(claims) => (claims.meeting_id.clone(), claims.participant_id.clone()),
            Self::Resume { room, participant } => (room.clone(), participant.clone()),
        }
    }
}

/// Serves one socket until it ends.
pub(super) async fn serve(frames: Frames, opening: Opening, trace: Trace, app: App) {
    let (room, participant) = opening.names();
    let span = tracing::info_span!("signal", meeting = %room, %participant);
    let gauge = metrics::gauge!("sluice_edge_signal_sockets");
    gauge.increment(1.0);
    Socket {
        frames,
        app,
        room,
        participant,
        allowance: MESSAGES_BURST,
        refilled: Instant::now(),
    }
    .run(opening, trace)
    .instrument(span)
    .await;
    gauge.decrement(1.0);
}

/// Why a socket is closed.
struct Closing {
    code: u16,
    reason: &'static str,
}

struct Socket {
    frames: Frames,
    app: App,
    room: MeetingId,
    participant: ParticipantId,
    allowance: f64,
    refilled: Instant,
}

impl Socket {
    async fn run(mut self, opening: Opening, trace: Trace) {
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        let handle = SocketHandle::new(sender);
        let id = handle.id();
        let Some(first) = self.first(opening, handle, trace).await else {
            return;
        };
        if self.app.hub.send(first).await.is_ok() {
            let closing = self.talk(outgoing, id).await;
            let goodbye = self.frames.close(closing.code, closing.reason);
            let _ = timeout(WRITE_TIMEOUT, goodbye).await;
            tracing::debug!(reason = closing.reason, "a socket ended");
        }
        let gone = HubCommand::Disconnected {
            room: self.room,
            participant: self.participant,
            socket: id,
        };
        // The hub is gone when this fails, and its rooms with it.
        let _ = self.app.hub.send(gone).await;
    }

    /// What the first message, with what the socket was opened with, means.
    async fn first(
        &mut self,
        opening: Opening,
        socket: SocketHandle,
        mut trace: Trace,
    ) -> Option<HubCommand> {
        let message = timeout(FIRST_MESSAGE, self.read()).await.ok()?;
        let refusal = match (message, opening) {
            (
                Ok(ClientMessage::Hello {
                    sdp_offer,
                    tracks,
                    presence,
                }),
                Opening::Join(claims),
            ) => {
                trace.step("websocket");
                return Some(HubCommand::Join {
                    claims,
                    socket,
                    hello: Hello {
                        sdp_offer,
                        tracks,
                        presence,
                    },
                    trace,
                });
            }
            (Ok(ClientMessage::Resume { last_seq }), Opening::Resume { room, participant }) => {
                return Some(HubCommand::Resume {
                    room,
                    participant,
                    socket,
                    last_seq,
                });
            }
            (Ok(_), Opening::Join(_)) => (
                ErrorCode::OutOfOrder,
                "`participant.hello` comes first".to_owned(),
            ),
            (Ok(_), Opening::Resume { .. }) => (
                ErrorCode::OutOfOrder,
                "`participant.resume` comes first".to_owned(),
            ),
            (Err(Some(fault)), _) => (ErrorCode::BadMessage, fault),
            (Err(None), _) => return None,
        };
        trace.fail(&refusal.1);
        self.refuse(refusal.0, refusal.1, true).await;
        None
    }

    /// The next message of the client: an error when it is none, `Err(None)` at the end.
    async fn read(&mut self) -> Result<ClientMessage, Option<String>> {
        loop {
            match self.frames.next().await {
                Some(Said::Text(text)) => {
                    return serde_json::from_str(&text).map_err(|error| Some(error.to_string()));
                }
                Some(Said::Binary) => {
                    return Err(Some("a binary message; text is wanted".to_owned()));
                }
                Some(Said::Alive) => {}
                None => return Err(None),
            }
        }
    }

    async fn write(&mut self, message: &ServerMessage) -> bool {
        // Messages of ours always are JSON.
        let Ok(text) = serde_json::to_string(message) else {
            return false;
        };
        matches!(
            timeout(WRITE_TIMEOUT, self.frames.send(text)).await,
            Ok(Ok(()))
        )
    }

    async fn refuse(&mut self, code: ErrorCode, message: String, fatal: bool) -> bool {
        let event = ServerEvent::Error {
            code,
            message,
            fatal,
        };
        self.write(&ServerMessage { seq: None, event }).await
    }

    async fn talk(&mut self, mut outgoing: mpsc::Receiver<ToSocket>, id: u64) -> Closing {
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let lost = Closing {
            code: NORMAL,
            reason: "the connection is lost",
        };
        loop {
            tokio::select! {
                out = outgoing.recv() => match out {
                    Some(ToSocket::Message(message)) => {
                        if !self.write(&message).await {
                            return lost;
                        }
                    }
                    Some(ToSocket::Close) => return Closing { code: NORMAL, reason: "the session is over" },
                    None => return Closing { code: POLICY, reason: "too slow, or replaced" },
                },
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE_MAX || self.frames.ping().await.is_err() {
                        return lost;
                    }
                }
                incoming = self.frames.next() => {
                    heard = Instant::now();
                    match incoming {
                        Some(Said::Text(text)) => {
                            if let Some(closing) = self.take(&text, id).await {
                                return closing;
                            }
                        }
                        Some(Said::Alive) => {}
                        Some(Said::Binary) => {
                            self.refuse(ErrorCode::BadMessage, "a binary message; text is wanted".to_owned(), false).await;
                        }
                        None => return lost,
                    }
                }
            }
        }
    }

    /// Takes one message; gives a reason to close when it must be the last.
    async fn take(&mut self, text: &str, id: u64) -> Option<Closing> {
        let now = Instant::now();
        let since = now.duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.allowance = (self.allowance + since * MESSAGES_PER_S).min(MESSAGES_BURST) - 1.0;
        if self.allowance < 0.0 {
            let text = format!("more than {MESSAGES_PER_S} messages a second");
            self.refuse(ErrorCode::TooMuch, text, true).await;
            return Some(Closing {
                code: POLICY,
                reason: "too many messages",
            });
        }
        match serde_json::from_str::<ClientMessage>(text) {
            Ok(ClientMessage::Ping {}) => {
                let pong = ServerMessage {
                    seq: None,
                    event: ServerEvent::Pong {},
                };
                self.write(&pong).await;
            }
            Ok(message) => {
                let command = HubCommand::Message {
                    room: self.room.clone(),
                    participant: self.participant.clone(),
                    socket: id,
                    message,
                };
                if self.app.hub.send(command).await.is_err() {
                    return Some(Closing {
                        code: NORMAL,
                        reason: "the edge goes away",
                    });
                }
            }
            Err(error) => {
                self.refuse(ErrorCode::BadMessage, error.to_string(), false)
                    .await;
            }
        }
        None
    }
}
