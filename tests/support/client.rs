//! A WebRTC client of the `webrtc` crate: it publishes numbered packets and keeps what it receives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RtpCodecKind,
};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry,
    register_default_interceptors,
};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a client went through that it should not have.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The crate says no.
    #[error("webrtc: {0}")]
    WebRtc(#[from] webrtc::error::Error),
    /// Something did not happen in time.
    #[error("{0} did not happen within {PATIENCE:?}")]
    Late(&'static str),
}

/// A packet that a client received.
#[derive(Debug, Clone)]
pub struct ReceivedPacket {
    /// The track's id, as the edge's SDP names it.
    pub track: String,
    /// The stream's id: the publisher.
    pub stream: String,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The payload.
    pub payload: Bytes,
}

struct Handler {
    gathered: mpsc::Sender<()>,
    connected: mpsc::Sender<()>,
    packets: mpsc::Sender<ReceivedPacket>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let _ = self.connected.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let packets = self.packets.clone();
        tokio::spawn(async move {
            let (id, stream) = (track.track_id().await, track.stream_id().await);
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let received = ReceivedPacket {
                        track: id.to_string(),
                        stream: stream.to_string(),
                        sequence: packet.header.sequence_number,
                        timestamp: packet.header.timestamp,
                        payload: packet.payload,
                    };
                    if packets.send(received).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// A track that a client publishes.
pub struct Published {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
}

impl Published {
    /// Sends one packet with this payload, 3,000 ticks after the last.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, payload: Bytes) -> Result<(), ClientError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(3_000);
        let header = rtp::header::Header {
            version: 2,
            marker: true,
            payload_type: self.payload_type,
            sequence_number: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        self.track
            .write_rtp(rtp::packet::Packet { header, payload })
            .await?;
        Ok(())
    }
}

/// One client.
pub struct Client {
    connection: Box<dyn PeerConnection>,
    gathered: mpsc::Receiver<()>,
    connected: mpsc::Receiver<()>,
    /// Everything received, in order.
    pub packets: mpsc::Receiver<ReceivedPacket>,
    /// Its way for messages.
    pub channel: Option<Channel>,
}

/// The data channel `reliable`.
pub struct Channel {
    inner: Arc<dyn DataChannel>,
    opened: watch::Receiver<bool>,
    messages: mpsc::Receiver<Bytes>,
}

impl Channel {
    fn new(inner: Arc<dyn DataChannel>) -> Self {
        let (told, messages) = mpsc::channel(1_000);
        let (open, opened) = watch::channel(false);
        let polled = inner.clone();
        tokio::spawn(async move {
            while let Some(event) = polled.poll().await {
                match event {
                    DataChannelEvent::OnOpen => drop(open.send_replace(true)),
                    // Nobody listens any more when this fails.
                    DataChannelEvent::OnMessage(message) => {
                        drop(told.try_send(message.data.freeze()));
                    }
                    _ => {}
                }
            }
        });
        Self {
            inner,
            opened,
            messages,
        }
    }

    /// Sends a message to everybody, once the channel is open.
    ///
    /// # Errors
    /// When the connection is closed, or does not open in time.
    pub async fn send(&self, payload: &[u8]) -> Result<(), ClientError> {
        let mut opened = self.opened.clone();
        match timeout(PATIENCE, opened.wait_for(|open| *open)).await {
            Ok(Ok(_)) => {}
            _ => return Err(ClientError::Late("opening a data channel")),
        }
        let header = b"{}";
        let mut bytes = BytesMut::from(&(header.len() as u16).to_be_bytes()[..]);
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
        Ok(self.inner.send(bytes).await?)
    }

    /// The payload of the next message.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next(&mut self) -> Result<Bytes, ClientError> {
        let message = timeout(PATIENCE, self.messages.recv()).await.ok().flatten();
        let mut message = message.ok_or(ClientError::Late("a message"))?;
        let header = message.split_to(2);
        let _header = message.split_to(usize::from(u16::from_be_bytes([header[0], header[1]])));
        Ok(message)
    }
}

fn codec(mime_type: &str, clock_rate: u32, channels: u16) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate,
        channels,
        ..Default::default()
    }
}

impl Client {
    /// A client with an audio and a video m-line, on a loopback port of its own.
    ///
    /// # Errors
    /// When the crate refuses.
    pub async fn new() -> Result<(Self, Published, Published), ClientError> {
        let (audio, video) = (
            codec(MIME_TYPE_OPUS, 48_000, 2),
            codec(MIME_TYPE_VP8, 90_000, 0),
        );
        let mut engine = MediaEngine::default();
        for (codec, payload_type, kind) in [
            (&audio, 111, RtpCodecKind::Audio),
            (&video, 96, RtpCodecKind::Video),
        ] {
            engine.register_codec(
                RTCRtpCodecParameters {
                    rtp_codec: codec.clone(),
                    payload_type,
                },
                kind,
            )?;
        }
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let (gathered_tx, gathered) = mpsc::channel(1);
        let (connected_tx, connected) = mpsc::channel(1);
        let (packets_tx, packets) = mpsc::channel(10_000);
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler {
                gathered: gathered_tx,
                connected: connected_tx,
                packets: packets_tx,
            }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await?;
        let mut published = Vec::new();
        for (codec, payload_type, kind, ssrc) in [
            (audio, 111, RtpCodecKind::Audio, 1_001),
            (video, 96, RtpCodecKind::Video, 1_002),
        ] {
            let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
                "stream".to_owned(),
                format!("track-{kind}"),
                format!("label-{kind}"),
                kind,
                vec![RTCRtpEncodingParameters {
                    rtp_coding_parameters: RTCRtpCodingParameters {
                        ssrc: Some(ssrc),
                        ..Default::default()
                    },
                    codec,
                    ..Default::default()
                }],
            )));
            connection
                .add_track(track.clone() as Arc<dyn TrackLocal>)
                .await?;
            published.push(Published {
                track,
                ssrc,
                payload_type,
                sequence: 65_530,
                timestamp: 0,
            });
        }
        let channel = connection.create_data_channel("reliable", None).await?;
        let client = Self {
            channel: Some(Channel::new(channel)),
            connection: Box::new(connection),
            gathered,
            connected,
            packets,
        };
        let video = published.pop();
        match (published.pop(), video) {
            (Some(audio), Some(video)) => Ok((client, audio, video)),
            _ => Err(ClientError::Late("adding two tracks")),
        }
    }

    /// The client's offer, with its candidates.
    ///
    /// # Errors
    /// When the crate refuses, or gathering takes too long.
    pub async fn offer(&mut self) -> Result<String, ClientError> {
        let offer = self.connection.create_offer(None).await?;
        self.connection.set_local_description(offer).await?;
        // Later offers have nothing new to gather.
        let _ = timeout(Duration::from_secs(2), self.gathered.recv()).await;
        self.connection
            .local_description()
            .await
            .map(|description| description.sdp)
            .ok_or(ClientError::Late("gathering"))
    }

    /// Takes the edge's answer.
    ///
    /// # Errors
    /// When the crate refuses it.
    pub async fn take_answer(&self, sdp: String) -> Result<(), ClientError> {
        let answer = RTCSessionDescription::answer(sdp)?;
        Ok(self.connection.set_remote_description(answer).await?)
    }

    /// Takes an offer of the edge and answers it.
    ///
    /// # Errors
    /// When the crate refuses it.
    pub async fn answer(&self, sdp: String) -> Result<String, ClientError> {
        let offer = RTCSessionDescription::offer(sdp)?;
        self.connection.set_remote_description(offer).await?;
        let answer = self.connection.create_answer(None).await?;
        let sdp = answer.sdp.clone();
        self.connection.set_local_description(answer).await?;
        Ok(sdp)
    }

    /// Waits until ICE and DTLS are up.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn connected(&mut self) -> Result<(), ClientError> {
        match timeout(PATIENCE, self.connected.recv()).await {
            Ok(Some(())) => Ok(()),
            _ => Err(ClientError::Late("connecting")),
        }
    }

    /// The next packet that satisfies `wanted`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn packet(
        &mut self,
        mut wanted: impl FnMut(&ReceivedPacket) -> bool,
    ) -> Result<ReceivedPacket, ClientError> {
        let search = async {
            while let Some(packet) = self.packets.recv().await {
                if wanted(&packet) {
                    return Some(packet);
                }
            }
            None
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(packet)) => Ok(packet),
            _ => Err(ClientError::Late("receiving that packet")),
        }
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// When the crate refuses.
    pub async fn close(&self) -> Result<(), ClientError> {
        Ok(self.connection.close().await?)
    }
}
