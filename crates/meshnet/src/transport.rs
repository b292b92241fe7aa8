//! How connections behave on the wire.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::congestion::MediaWindowConfig;
use crate::endpoint::EndpointError;

/// The MTU that every QUIC path must carry (RFC 9000, section 14), in bytes of UDP payload.
pub const MTU_MIN: u16 = 1200;

/// How near to what a path carries discovery comes, in bytes. Over IPv4 a path of 1,280 bytes just has
/// room for browsers' longest packets, and a few bytes less would have many of them split.
const MTU_STEP: u16 = 4;

/// The most streams that a peer may have open at once.
const STREAMS_MAX: u32 = 4;

/// How a connection finds out how much its path carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Congestion {
    /// CUBIC (RFC 9438): each loss counts as a full path. Fair to others, and right where little is
    /// sent.
    Cubic,
    /// BBR, whose window never closes below what arrives: counts that instead of what is lost. On a path
    /// of 150 ms that loses 2 % at random, CUBIC lets through about 1 Mbit/s, however much the path carries.
    Bbr,
}

/// How connections behave on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportSettings {
    /// The UDP payload that paths are taken to carry at first, in bytes, at least [`MTU_MIN`];
    /// discovery raises it.
    pub initial_mtu: u16,
    /// How long a connection may be silent before a packet is sent to keep it.
    pub keep_alive: Duration,
    /// After how long a silence the peer counts as gone.
    pub idle_timeout: Duration,
    /// Datagrams received and not yet taken, in bytes; the oldest are dropped beyond it.
    pub datagram_receive_bytes: usize,
    /// Datagrams not yet sent, in bytes; the sender drops beyond it.
    pub datagram_send_bytes: usize,
    /// The round trip that is assumed before one is measured.
    pub initial_rtt: Duration,
    /// How the connection finds out how much its path carries.
    pub congestion: Congestion,
    /// How many streams of one direction the peer may have open at once. The mesh uses none.
    pub one_way_streams: u32,
}

impl TransportSettings {
    /// For connections between edges: a lost peer is noticed within three seconds.
    #[must_use]
    pub const fn backbone(initial_mtu: u16) -> Self {
        Self {
            initial_mtu,
            keep_alive: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(3),
            datagram_receive_bytes: 4 * 1024 * 1024,
            datagram_send_bytes: 1024 * 1024,
            initial_rtt: Duration::from_millis(150),
            congestion: Congestion::Bbr,
            one_way_streams: 0,
        }
    }

    /// For connections between an edge and the coordinator.
    #[must_use]
    pub const fn control() -> Self {
        Self {
            initial_mtu: MTU_MIN,
            keep_alive: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(10),
            datagram_receive_bytes: 64 * 1024,
            datagram_send_bytes: 64 * 1024,
            initial_rtt: Duration::from_millis(150),
            congestion: Congestion::Cubic,
            one_way_streams: 0,
        }
    }

    pub(crate) fn config(&self) -> Result<Arc<TransportConfig>, EndpointError> {
        let idle = quinn::IdleTimeout::try_from(self.idle_timeout).map_err(|_| {
            EndpointError::IdleTimeout {
                value: self.idle_timeout,
            }
        })?;
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.minimum_change(MTU_STEP);
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(self.one_way_streams))
            .initial_mtu(self.initial_mtu.max(MTU_MIN))
            .min_mtu(MTU_MIN)
            .mtu_discovery_config(Some(discovery))
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(Some(idle))
            .initial_rtt(self.initial_rtt)
            .datagram_receive_buffer_size(Some(self.datagram_receive_bytes))
            .datagram_send_buffer_size(self.datagram_send_bytes);
        match self.congestion {
            Congestion::Cubic => {
                config.congestion_controller_factory(Arc::new(CubicConfig::default()))
            }
            Congestion::Bbr => {
                config.congestion_controller_factory(Arc::new(MediaWindowConfig::default()))
            }
        };
        Ok(Arc::new(config))
    }
}
