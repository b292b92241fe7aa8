//! What the forwarder counts.

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Packets from participants, audio and video.
    pub received_packets: [u64; 2],
    /// Their bytes, headers included.
    pub received_bytes: [u64; 2],
    /// Packets from the backbone, audio and video.
    pub relayed_in_packets: [u64; 2],
    /// Packets to participants, audio and video, retransmissions excluded.
    pub forwarded_packets: [u64; 2],
    /// Their payload bytes.
    pub forwarded_bytes: [u64; 2],
    /// Packets to the backbone, audio and video.
    pub relayed_out_packets: [u64; 2],
    /// Packets dropped, by [`Drop`].
    pub dropped: [u64; Drop::ALL.len()],
    /// Sequence numbers that participants asked for again.
    pub nacks_received: u64,
    /// Sequence numbers that publishers were asked for again.
    pub nacks_sent: u64,
    /// Packets sent again.
    pub retransmitted_packets: u64,
    /// Packets sent again to find out whether a path carries more.
    pub probe_packets: u64,
    /// Key frames that receivers got from the history.
    pub replayed_key_frames: u64,
    /// Packets that came by retransmission.
    pub recovered_packets: u64,
    /// Key-frame requests from participants and the backbone.
    pub key_frame_requests_received: u64,
    /// Key-frame requests to publishers and the backbone.
    pub key_frame_requests_sent: u64,
}

/// Why a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drop {
    /// It is not RTP.
    Malformed,
    /// No track has its SSRC.
    UnknownSource,
    /// Its payload type was not agreed upon.
    UnknownPayloadType,
    /// It came before.
    Duplicate,
    /// A participant cannot decode its codec.
    NoCodec,
    /// A participant's network has fallen so far behind that too much waits for it.
    Behind,
}

impl Drop {
    /// All of them, in the order of [`Stats::dropped`].
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::UnknownSource,
        Self::UnknownPayloadType,
        Self::Duplicate,
        Self::NoCodec,
        Self::Behind,
    ];

    /// The reason as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownSource => "unknown_source",
            Self::UnknownPayloadType => "unknown_payload_type",
            Self::Duplicate => "duplicate",
            Self::NoCodec => "no_codec",
            Self::Behind => "behind",
        }
    }
}
