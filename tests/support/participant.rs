//! A participant: a client of the `webrtc` crate with its signalling.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sluice_types::signal::{
    ClientMessage, SUBPROTOCOL, ServerEvent, ServerMessage, TOKEN_SUBPROTOCOL,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::client::{Channel, Client, PATIENCE, Published, ReceivedPacket};
use crate::rest::Admitted;

/// The payload of a packet of sound.
pub const SOUND: usize = 80;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Somebody in a meeting. It answers the edge's offers by itself.
pub struct Participant {
    /// Its microphone.
    pub audio: Published,
    /// Its camera.
    pub video: Published,
    /// What the edge told, in order.
    pub events: mpsc::Receiver<ServerEvent>,
    /// What it received, in order.
    pub packets: mpsc::Receiver<ReceivedPacket>,
    /// Its way for messages.
    pub channel: Option<Channel>,
    /// What it says.
    pub say: mpsc::Sender<ClientMessage>,
}

async fn open(admitted: &Admitted) -> Socket {
    let mut request = admitted
        .signal
        .as_str()
        .into_client_request()
        .expect("a URL");
    let protocols = format!("{SUBPROTOCOL}, {TOKEN_SUBPROTOCOL}{}", admitted.token);
    request.headers_mut().insert(
        "sec-websocket-protocol",
        protocols.parse().expect("a header"),
    );
    connect_async(request).await.expect("the edge upgrades").0
}

async fn write(socket: &mut Socket, message: &ClientMessage) {
    let text = serde_json::to_string(message).expect("JSON");
    socket.send(Message::text(text)).await.expect("sent");
}

async fn read(socket: &mut Socket) -> Option<ServerEvent> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => {
                let message: ServerMessage = serde_json::from_str(&text).expect("a known message");
                return Some(message.event);
            }
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// By their publisher and length, the numbers of packets.
type Numbers = BTreeMap<(String, usize), BTreeSet<u64>>;

/// The numbers of packets that came.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Numbers>>);

impl Seen {
    /// Waits until packets of that publisher and length have come whose numbers go on without a hole, each
    /// `step` after the one before, from the first that came to `more` beyond the last that there was.
    pub async fn goes_on(&self, publisher: &str, length: usize, step: u64, more: u64) {
        let key = (publisher.to_owned(), length);
        let numbers = || {
            let all = self.0.lock().expect("no panic");
            all.get(&key).cloned().unwrap_or_default()
        };
        let until = numbers().last().copied().unwrap_or_default() + more;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let came = numbers();
            let first = came.first().copied().unwrap_or_default();
            let expected = (first..=until).step_by(step as usize);
            let missing: Vec<_> = expected.filter(|number| !came.contains(number)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "from {first} to {until}, {} never came: {:?} …",
                missing.len(),
                &missing[..missing.len().min(20)]
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Participant {
    /// Enters, and waits until media is connected.
    pub async fn enter(admitted: &Admitted) -> Self {
        let mut socket = open(admitted).await;
        let (mut client, audio, video) = Client::new().await.expect("a client");
        let hello = ClientMessage::Hello {
            sdp_offer: client.offer().await.expect("an offer"),
            tracks: Vec::new(),
            presence: sluice_types::room::Presence::default(),
        };
        write(&mut socket, &hello).await;
        let (events_tx, events) = mpsc::channel(1_000);
        loop {
            let event = timeout(PATIENCE, read(&mut socket))
                .await
                .expect("in time")
                .expect("open");
            if let ServerEvent::Answer { sdp_answer, .. } = event {
                client.take_answer(sdp_answer).await.expect("a good answer");
                break;
            }
            events_tx.send(event).await.expect("room");
        }
        client.connected().await.expect("ICE and DTLS");
        let (say, mut said) = mpsc::channel(16);
        let (_, closed) = mpsc::channel(1);
        let packets = std::mem::replace(&mut client.packets, closed);
        let channel = client.channel.take();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = said.recv() => match message {
                        Some(message) => write(&mut socket, &message).await,
                        None => break,
                    },
                    event = read(&mut socket) => match event {
                        Some(ServerEvent::Offer { sdp_offer, revision, .. }) => {
                            let sdp_answer = client.answer(sdp_offer).await.expect("a good offer");
                            write(&mut socket, &ClientMessage::Answer { sdp_answer, revision }).await;
                        }
                        // Nobody listens any more when this fails.
                        Some(event) => drop(events_tx.try_send(event)),
                        None => break,
                    },
                }
            }
            // It may be gone already.
            let _ = client.close().await;
        });
        Self {
            audio,
            video,
            events,
            packets,
            channel,
            say,
        }
    }

    /// The next event that satisfies `wanted`.
    pub async fn event(&mut self, wanted: impl Fn(&ServerEvent) -> bool) -> ServerEvent {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the session goes on");
                if wanted(&event) {
                    return event;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("the event comes")
    }

    /// The next packet with a payload of that length.
    pub async fn packet(&mut self, length: usize) -> ReceivedPacket {
        let search = async {
            loop {
                let packet = self.packets.recv().await.expect("the connection goes on");
                if packet.payload.len() == length {
                    return packet;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("the packet comes")
    }

    /// Publishes `length` bytes of video every few milliseconds, for ever; each packet has its number, from
    /// 0 on. With every fourth comes a packet of sound, of [`SOUND`] bytes and with the same number.
    pub async fn keep_sending(&mut self, length: usize) {
        for number in 0u64.. {
            let payload = |length| {
                // The start of a key frame of VP8.
                let mut payload = vec![0x10, 0x00];
                payload.extend(number.to_be_bytes());
                payload.resize(length, 7);
                payload
            };
            self.video.send(payload(length).into()).await.expect("sent");
            if number.is_multiple_of(4) {
                self.audio.send(payload(SOUND).into()).await.expect("sent");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Counts what comes from now on, instead of [`Self::packets`].
    pub fn count(&mut self) -> Seen {
        let (_, closed) = mpsc::channel(1);
        let mut packets = std::mem::replace(&mut self.packets, closed);
        let seen = Seen::default();
        let counted = seen.clone();
        tokio::spawn(async move {
            while let Some(packet) = packets.recv().await {
                let key = (packet.stream, packet.payload.len());
                if let Some(number) = packet.payload.get(2..10) {
                    let number = u64::from_be_bytes(number.try_into().expect("eight"));
                    let mut all = counted.0.lock().expect("no panic");
                    all.entry(key).or_default().insert(number);
                }
            }
        });
        seen
    }
}
