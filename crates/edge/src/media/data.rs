//! Data channels of one participant (RFC 8831): SCTP over its DTLS association, with the in-band
//! opening of RFC 8832.
//!
//! The client opens two channels, `reliable` and `lossy`; the edge opens none. What a message means
//! is not known here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc_datachannel::message::Message;
use rtc_datachannel::message::message_channel_ack::DataChannelAck;
use rtc_datachannel::message::message_channel_open::ChannelType;
use rtc_sctp::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, TransportConfig,
};
use rtc_shared::TransportProtocol;
use rtc_shared::marshal::{Marshal, Unmarshal};
use sluice_types::room::DATA_BYTES_MAX;

/// The SCTP port of both sides (RFC 8841, section 5).
pub(crate) const SCTP_PORT: u16 = 5_000;

/// The largest SCTP packet: what is left of 1,200 bytes within a DTLS record.
const PACKET_BYTES_MAX: u32 = 1_140;

/// What may wait for a slow receiver, in bytes. Beyond it the newest messages are dropped and counted:
/// nothing else of the participant waits for them.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// What the client may send without a pause, and how fast after that.
const MESSAGES_BURST: f64 = 100.0;
const MESSAGES_PER_SECOND: f64 = 100.0;
const BYTES_BURST: f64 = 256.0 * 1024.0;
const BYTES_PER_SECOND: f64 = 256.0 * 1024.0;

/// Streams that a client may have open; it needs two.
const STREAMS_MAX: u16 = 16;

/// The one peer of each endpoint; as in DTLS, the path may change below it.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), SCTP_PORT);

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message.
    Message {
        /// Whether it came over the reliable channel.
        reliable: bool,
        /// Its bytes.
        bytes: Bytes,
    },
    /// One that was dropped, since they come too fast or are too long.
    Refused,
}

/// Which stream a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Channel {
    stream: u16,
    reliable: bool,
}

/// Tokens that come back with time.
#[derive(Debug)]
struct Allowance {
    messages: f64,
    bytes: f64,
    at: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.messages = (self.messages + passed * MESSAGES_PER_SECOND).min(MESSAGES_BURST);
        self.bytes = (self.bytes + passed * BYTES_PER_SECOND).min(BYTES_BURST);
        if self.messages < 1.0 || self.bytes < bytes as f64 {
            return false;
        }
        self.messages -= 1.0;
        self.bytes -= bytes as f64;
        true
    }
}

/// The data channels of one participant.
pub(crate) struct DataChannels {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    channels: Vec<Channel>,
    allowance: Allowance,
}

impl DataChannels {
    /// Waits for the client to open the association.
    pub(crate) fn new(now: Instant) -> Self {
        let transport = TransportConfig::default()
            .with_sctp_port(SCTP_PORT)
            .with_max_message_size(DATA_BYTES_MAX as u32)
            .with_max_receive_buffer_size(WAITING_BYTES_MAX as u32)
            .with_max_num_inbound_streams(STREAMS_MAX)
            .with_max_num_outbound_streams(STREAMS_MAX);
        let mut config = EndpointConfig::new();
        config.max_payload_size(PACKET_BYTES_MAX);
        Self {
            endpoint: Endpoint::new(
                PEER,
                TransportProtocol::UDP,
                Arc::new(config),
                Some(Arc::new(ServerConfig::new(transport))),
            ),
            association: None,
            channels: Vec::new(),
            allowance: Allowance {
                messages: MESSAGES_BURST,
                bytes: BYTES_BURST,
                at: now,
            },
        }
    }

    /// An SCTP packet came; what it completes is handed to `incoming`.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        packet: Bytes,
        mut incoming: impl FnMut(Incoming),
    ) {
        match self.endpoint.handle(now, PEER, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                // A client that starts over has forgotten its channels too.
                self.channels.clear();
                self.association = Some((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((known, association)) = &mut self.association
                    && *known == handle
                {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
        self.read(now, &mut incoming);
    }

    fn read(&mut self, now: Instant, incoming: &mut impl FnMut(Incoming)) {
        let Some((handle, association)) = &mut self.association else {
            return;
        };
        let mut readable = Vec::new();
        while let Some(event) = association.poll() {
            if let Event::Stream(StreamEvent::Readable { id } | StreamEvent::Opened { id }) = event
                && !readable.contains(&id)
            {
                readable.push(id);
            }
        }
        while association.accept_stream().is_some() {}
        for id in readable {
            while let Some((kind, bytes)) = next_message(association, id) {
                if kind == PayloadProtocolIdentifier::Dcep {
                    open(association, &mut self.channels, now, id, &bytes);
                    continue;
                }
                let Some(channel) = self.channels.iter().find(|channel| channel.stream == id)
                else {
                    continue;
                };
                let reliable = channel.reliable;
                if bytes.len() > DATA_BYTES_MAX || !self.allowance.take(now, bytes.len()) {
                    incoming(Incoming::Refused);
                } else {
                    let bytes = bytes.freeze();
                    incoming(Incoming::Message { reliable, bytes });
                }
            }
        }
        while let Some(event) = association.poll_endpoint_event() {
            self.endpoint.handle_event(*handle, event);
        }
        if association.is_drained() {
            self.association = None;
            self.channels.clear();
        }
    }

    /// Sends a message over the channel of that kind; `false` when it is not open, or too much waits.
    pub(crate) fn send(&mut self, now: Instant, reliable: bool, bytes: &Bytes) -> bool {
        let (Some((_, association)), Some(channel)) = (
            &mut self.association,
            self.channels
                .iter()
                .find(|channel| channel.reliable == reliable),
        ) else {
            return false;
        };
        let Ok(mut stream) = association.stream(channel.stream) else {
            return false;
        };
        let waits = stream.buffered_amount().unwrap_or(usize::MAX);
        waits.saturating_add(bytes.len()) <= WAITING_BYTES_MAX
            && stream
                .write_chunk_with_ppi(now, bytes, PayloadProtocolIdentifier::Binary)
                .is_ok()
    }

    /// The next SCTP packet to send.
    pub(crate) fn poll_transmit(&mut self, now: Instant, mut transmit: impl FnMut(&[u8])) {
        let Some((_, association)) = &mut self.association else {
            return;
        };
        while let Some(message) = association.poll_transmit(now) {
            if let Payload::RawEncode(packets) = message.message {
                for packet in packets {
                    transmit(&packet);
                }
            }
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.1.poll_timeout()
    }

    /// Repeats what was lost.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
    }
}

fn next_message(
    association: &mut Association,
    id: u16,
) -> Option<(PayloadProtocolIdentifier, BytesMut)> {
    let chunks = association.stream(id).ok()?.read().ok()??;
    // The longest is refused by the caller; longer ones never were put together.
    let bytes = chunks.to_payload(2 * DATA_BYTES_MAX).ok()?;
    Some((chunks.ppi, bytes))
}

/// The client opens a channel (RFC 8832, section 5.1): answers as reliably as it asked.
fn open(
    association: &mut Association,
    channels: &mut Vec<Channel>,
    now: Instant,
    id: u16,
    message: &[u8],
) -> Option<()> {
    let Ok(Message::DataChannelOpen(opened)) = Message::unmarshal(&mut &message[..]) else {
        return None;
    };
    let reliable = matches!(
        opened.channel_type,
        ChannelType::Reliable | ChannelType::ReliableUnordered
    );
    let unordered = !matches!(
        opened.channel_type,
        ChannelType::Reliable
            | ChannelType::PartialReliableRexmit
            | ChannelType::PartialReliableTimed
    );
    let reliability = match opened.channel_type {
        ChannelType::PartialReliableRexmit | ChannelType::PartialReliableRexmitUnordered => {
            ReliabilityType::Rexmit
        }
        ChannelType::PartialReliableTimed | ChannelType::PartialReliableTimedUnordered => {
            ReliabilityType::Timed
        }
        _ => ReliabilityType::Reliable,
    };
    let acknowledgement = Message::DataChannelAck(DataChannelAck {}).marshal().ok()?;
    let mut stream = association.stream(id).ok()?;
    stream
        .write_chunk_with_ppi(
            now,
            &acknowledgement.freeze(),
            PayloadProtocolIdentifier::Dcep,
        )
        .ok()?;
    stream
        .set_reliability_params(unordered, reliability, opened.reliability_parameter)
        .ok()?;
    channels.retain(|channel| channel.stream != id && channel.reliable != reliable);
    channels.push(Channel {
        stream: id,
        reliable,
    });
    Some(())
}
