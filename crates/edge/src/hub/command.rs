//! What the hub is told by sockets and HTTP handlers.

use std::sync::atomic::{AtomicU64, Ordering};

use sluice_trace::Trace;
use sluice_types::access::JoinClaims;
use sluice_types::ids::{MeetingId, ParticipantId, ResumeToken};
use sluice_types::room::Presence;
use sluice_types::signal::{ClientMessage, ErrorCode, PublishedMid, ServerEvent, ServerMessage};
use tokio::sync::{mpsc, oneshot};

/// Commands that wait for the hub; when they are too many, sockets wait.
const COMMANDS: usize = 4_096;

static NEXT_SOCKET: AtomicU64 = AtomicU64::new(1);

/// What a socket is told.
#[derive(Debug)]
pub enum ToSocket {
    /// Send this.
    Message(Box<ServerMessage>),
    /// Close; the session is over.
    Close,
}

impl ToSocket {
    /// A request failed.
    pub(super) fn error(code: ErrorCode, message: String, fatal: bool) -> Self {
        Self::Message(Box::new(ServerMessage {
            seq: None,
            event: ServerEvent::Error {
                code,
                message,
                fatal,
            },
        }))
    }
}

/// A socket, as the hub holds it.
#[derive(Debug, Clone)]
pub struct SocketHandle {
    id: u64,
    sender: mpsc::Sender<ToSocket>,
}

impl SocketHandle {
    /// A handle to the socket that reads the other end.
    #[must_use]
    pub fn new(sender: mpsc::Sender<ToSocket>) -> Self {
        Self {
            id: NEXT_SOCKET.fetch_add(1, Ordering::Relaxed),
            sender,
        }
    }

    /// Which socket it is.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Queues something, unless too much waits already.
    pub(super) fn tell(&self, what: ToSocket) -> bool {
        self.sender.try_send(what).is_ok()
    }

    /// Refuses the client for good. Its socket may be gone already.
    pub(super) fn turn_away(&self, code: ErrorCode, message: String) {
        self.tell(ToSocket::error(code, message, true));
        self.tell(ToSocket::Close);
    }
}

/// The first message of a client.
#[derive(Debug)]
pub struct Hello {
    /// Its offer.
    pub sdp_offer: String,
    /// What its m-lines are.
    pub tracks: Vec<PublishedMid>,
    /// The presence to start with.
    pub presence: Presence,
}

/// Why somebody cannot publish, as HTTP says it.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The kind of problem.
    pub kind: &'static str,
    /// The problem.
    pub detail: String,
}

/// The answer to a WHIP offer, and the secret of its resource.
pub type Published = Result<(String, ResumeToken), Refusal>;

/// One thing to do.
pub enum HubCommand {
    /// A client with a good token said hello.
    Join {
        /// Who it is.
        claims: Box<JoinClaims>,
        /// Its socket.
        socket: SocketHandle,
        /// What it said.
        hello: Hello,
        /// Its join's, after the hello.
        trace: Trace,
    },
    /// A client that was away is back.
    Resume {
        /// Its room.
        room: MeetingId,
        /// Who it is.
        participant: ParticipantId,
        /// Its new socket.
        socket: SocketHandle,
        /// The last event that it saw.
        last_seq: u64,
    },
    /// A client says something.
    Message {
        /// Its room.
        room: MeetingId,
        /// Who it is.
        participant: ParticipantId,
        /// The socket that it came from.
        socket: u64,
        /// What it says.
        message: ClientMessage,
    },
    /// A socket is gone.
    Disconnected {
        /// Its room.
        room: MeetingId,
        /// Whose it was.
        participant: ParticipantId,
        /// Which it was.
        socket: u64,
    },
    /// Somebody publishes without signalling.
    Publish {
        /// Who it is.
        claims: Box<JoinClaims>,
        /// Its offer.
        offer: String,
        /// Its join's, from the request on.
        trace: Trace,
        /// Where the answer goes.
        answer: oneshot::Sender<Published>,
    },
    /// A participant leaves.
    Leave {
        /// Its room.
        room: MeetingId,
        /// Who it is.
        participant: ParticipantId,
    },
    /// Whose session is it?
    FindSession {
        /// Its secret.
        token: ResumeToken,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<(MeetingId, ParticipantId)>>,
    },
    /// The edge is about to go away: tell everybody to join elsewhere.
    Drain,
    /// Say when no edge receives others' tracks from here any more, or no coordinator is left that could
    /// tell it another way.
    Relieve {
        /// Where the answer goes; one that is dropped says the same.
        answer: oneshot::Sender<()>,
    },
}

/// The hub is gone, since the edge ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edge goes away")]
pub struct HubGone;

/// A way to tell the hub things.
#[derive(Debug, Clone)]
pub struct HubHandle(mpsc::Sender<HubCommand>);

impl HubHandle {
    pub(super) fn new() -> (Self, mpsc::Receiver<HubCommand>) {
        let (sender, receiver) = mpsc::channel(COMMANDS);
        (Self(sender), receiver)
    }

    /// Gives the hub something to do, waiting while too much waits already.
    ///
    /// # Errors
    /// When the hub is gone.
    pub async fn send(&self, command: HubCommand) -> Result<(), HubGone> {
        self.0.send(command).await.map_err(|_| HubGone)
    }

    /// Waits until nobody needs what passes this edge; see [`HubCommand::Relieve`].
    pub async fn relieved(&self) {
        let (answer, relieved) = oneshot::channel();
        if self.send(HubCommand::Relieve { answer }).await.is_ok() {
            // The hub is gone when this fails.
            let _ = relieved.await;
        }
    }

    /// Whose session a resume token is for.
    pub async fn find_session(&self, token: ResumeToken) -> Option<(MeetingId, ParticipantId)> {
        let (answer, found) = oneshot::channel();
        self.send(HubCommand::FindSession { token, answer })
            .await
            .ok()?;
        found.await.ok().flatten()
    }

    /// Publishes without signalling; `None` when the hub is gone.
    pub async fn publish(
        &self,
        claims: JoinClaims,
        offer: String,
        trace: Trace,
    ) -> Option<Published> {
        let (answer, published) = oneshot::channel();
        let publish = HubCommand::Publish {
            claims: Box::new(claims),
            offer,
            trace,
            answer,
        };
        self.send(publish).await.ok()?;
        published.await.ok()
    }
}
