//! SRTP for media (RFC 3711, RFC 7714): sealing and opening in place, without allocating.
//!
//! Control packets, which are few, go through `rtc-srtp`.

mod cipher;
#[cfg(test)]
mod tests;

use rtc_crypto::{CryptoError, RTCCrypto, constant_time_eq};
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_no_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;
use sluice_sfu::rtp::{RtpError, header_bytes};
use sluice_types::sequence::{OnceWindow, Unroller};
use thiserror::Error;

use self::cipher::{Cipher, SHORT_TAG_BYTES, cm_counter, gcm_nonce, rollover};

/// The most that sealing adds to a packet, in bytes.
pub const TAG_BYTES_MAX: usize = 16;

/// The most SSRCs of one participant whose replay windows are kept.
const STREAMS_MAX: usize = 64;

/// SRTCP's replay window, in packets.
const CONTROL_WINDOW: usize = 64;

/// The unroller's first cycle is 1, SRTP's is 0.
const FIRST_CYCLE: u64 = 1 << 16;

/// The profiles that the edge agrees to (RFC 5764, section 4.1.2; RFC 7714, section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, at four times the cost.
    Aes128CmSha1,
}

impl Profile {
    /// Bytes of a master key.
    pub const KEY_BYTES: usize = 16;

    /// Bytes of a master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => 12,
            Self::Aes128CmSha1 => 14,
        }
    }

    /// Bytes to export from DTLS for both directions (RFC 5764, section 4.2).
    pub const fn keying_bytes(self) -> usize {
        2 * (Self::KEY_BYTES + self.salt_bytes())
    }

    const fn family(self) -> ProtectionProfile {
        match self {
            Self::Aes128Gcm => ProtectionProfile::AeadAes128Gcm,
            Self::Aes128CmSha1 => ProtectionProfile::Aes128CmHmacSha1_80,
        }
    }
}

/// Which end of the DTLS association this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It began the handshake.
    Client,
    /// It waited for it: the edge.
    Server,
}

/// Why a packet cannot be opened.
#[derive(Debug, Error)]
pub enum SrtpError {
    /// It is not RTP.
    #[error(transparent)]
    Rtp(#[from] RtpError),
    /// It is shorter than its header and tag.
    #[error("an SRTP packet without room for its tag")]
    Short,
    /// It came before, or is too old to tell.
    #[error("an SRTP packet that came before")]
    Replayed,
    /// The participant sends under too many SSRCs.
    #[error("more than {STREAMS_MAX} streams")]
    TooManyStreams,
    /// It was not sealed with the agreed key.
    #[error("SRTP authentication failed")]
    Forged,
    /// The keys are not of the profile, or the cipher is missing.
    #[error("SRTP set-up: {0}")]
    Crypto(#[from] CryptoError),
    /// `rtc-srtp` says no.
    #[error("SRTCP: {0}")]
    Control(String),
}

/// Seals media for one participant.
pub struct Sealer(Cipher);

impl Sealer {
    /// Seals with a master key and salt.
    ///
    /// # Errors
    /// When they are not as long as the profile says.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        key: &[u8],
        salt: &[u8],
    ) -> Result<Self, CryptoError> {
        Cipher::new(crypto, profile, key, salt).map(Self)
    }

    /// Seals the first `length` bytes of `buffer`, of which `header` are in clear, and says how
    /// long the packet now is. The caller must never use an index of an SSRC twice, and `buffer`
    /// must have [`TAG_BYTES_MAX`] to spare.
    ///
    /// # Errors
    /// When the cipher refuses.
    pub fn seal(
        &mut self,
        buffer: &mut [u8],
        header: usize,
        length: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, CryptoError> {
        let (packet, rest) = buffer.split_at_mut(length);
        match &mut self.0 {
            Cipher::Gcm { aead, salt } => {
                let (header, payload) = packet.split_at_mut(header);
                let nonce = gcm_nonce(salt, ssrc, index);
                aead.seal_in_place(&nonce, header, payload, &mut rest[..TAG_BYTES_MAX])?;
                Ok(length + TAG_BYTES_MAX)
            }
            Cipher::Cm { stream, mac, salt } => {
                stream.apply_keystream(&cm_counter(salt, ssrc, index), &mut packet[header..])?;
                let mut tag = [0; 20];
                mac.sign(&[packet, &rollover(index)], &mut tag)?;
                rest[..SHORT_TAG_BYTES].copy_from_slice(&tag[..SHORT_TAG_BYTES]);
                Ok(length + SHORT_TAG_BYTES)
            }
        }
    }
}

struct Stream {
    ssrc: u32,
    unroller: Unroller,
    seen: OnceWindow,
}

/// Opens media of one participant.
pub struct Opener {
    cipher: Cipher,
    streams: Vec<Stream>,
}

impl Opener {
    /// Opens with a master key and salt.
    ///
    /// # Errors
    /// When they are not as long as the profile says.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        key: &[u8],
        salt: &[u8],
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            cipher: Cipher::new(crypto, profile, key, salt)?,
            streams: Vec::new(),
        })
    }

    /// Opens `packet` in place and says how long the plain packet is. Nothing is remembered of a
    /// packet that fails.
    ///
    /// # Errors
    /// When it is not RTP, came before or was not sealed with the agreed key.
    pub fn open(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = header_bytes(packet)?;
        let length = packet
            .len()
            .checked_sub(self.cipher.tag_bytes())
            .filter(|&length| length >= header)
            .ok_or(SrtpError::Short)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let known = self.streams.iter().position(|stream| stream.ssrc == ssrc);
        if known.is_none() && self.streams.len() >= STREAMS_MAX {
            return Err(SrtpError::TooManyStreams);
        }
        let mut unroller =
            known.map_or_else(Unroller::default, |at| self.streams[at].unroller.clone());
        let number = unroller.unroll(sequence);
        let index = number.checked_sub(FIRST_CYCLE).ok_or(SrtpError::Replayed)?;
        let mut seen = known.map_or_else(OnceWindow::default, |at| self.streams[at].seen.clone());
        if !seen.first_time(number) {
            return Err(SrtpError::Replayed);
        }
        self.authenticate(packet, header, length, ssrc, index)?;
        let stream = Stream {
            ssrc,
            unroller,
            seen,
        };
        match known {
            Some(at) => self.streams[at] = stream,
            None => self.streams.push(stream),
        }
        Ok(length)
    }

    fn authenticate(
        &mut self,
        packet: &mut [u8],
        header: usize,
        length: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let (packet, tag) = packet.split_at_mut(length);
        match &mut self.cipher {
            Cipher::Gcm { aead, salt } => {
                let (header, payload) = packet.split_at_mut(header);
                aead.open_in_place(&gcm_nonce(salt, ssrc, index), header, payload, tag)
                    .map_err(|_| SrtpError::Forged)
            }
            Cipher::Cm { stream, mac, salt } => {
                let mut expected = [0; 20];
                mac.sign(&[packet, &rollover(index)], &mut expected)?;
                if !constant_time_eq(&expected[..SHORT_TAG_BYTES], tag) {
                    return Err(SrtpError::Forged);
                }
                stream.apply_keystream(&cm_counter(salt, ssrc, index), &mut packet[header..])?;
                Ok(())
            }
        }
    }
}

/// Both directions of one participant's media and control.
pub struct Srtp {
    /// For media that goes out.
    pub sealer: Sealer,
    /// For media that comes in.
    pub opener: Opener,
    control_out: Context,
    control_in: Context,
}

impl Srtp {
    /// Splits what DTLS exported (RFC 5764, section 4.2).
    ///
    /// # Errors
    /// When the keying material is not of the profile's length.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        role: Role,
        keying: &[u8],
    ) -> Result<Self, SrtpError> {
        let (keys, salts) = keying.split_at(2 * Profile::KEY_BYTES);
        let (client_key, server_key) = keys.split_at(Profile::KEY_BYTES);
        let (client_salt, server_salt) = salts.split_at(profile.salt_bytes());
        let context = |key, salt| {
            Context::new(
                key,
                salt,
                profile.family(),
                Some(srtp_no_replay_protection()),
                Some(srtcp_replay_protection(CONTROL_WINDOW)),
                crypto,
            )
            .map_err(|error| SrtpError::Control(error.to_string()))
        };
        let (client, server) = ((client_key, client_salt), (server_key, server_salt));
        let (near, far) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        Ok(Self {
            sealer: Sealer::new(crypto, profile, near.0, near.1)?,
            opener: Opener::new(crypto, profile, far.0, far.1)?,
            control_out: context(near.0, near.1)?,
            control_in: context(far.0, far.1)?,
        })
    }

    /// The sealed form of an RTCP packet.
    ///
    /// # Errors
    /// When it is not RTCP.
    pub fn seal_control(&mut self, packet: &[u8]) -> Result<bytes::BytesMut, SrtpError> {
        self.control_out
            .encrypt_rtcp(packet)
            .map_err(|error| SrtpError::Control(error.to_string()))
    }

    /// The plain form of an SRTCP packet.
    ///
    /// # Errors
    /// When it is forged or came before.
    pub fn open_control(&mut self, packet: &[u8]) -> Result<bytes::BytesMut, SrtpError> {
        self.control_in
            .decrypt_rtcp(packet)
            .map_err(|error| SrtpError::Control(error.to_string()))
    }
}
