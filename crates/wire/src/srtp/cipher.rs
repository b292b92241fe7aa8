//! The two ciphers of SRTP, their keys, and what they count by.

use rtc_crypto::{
    AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CryptoError, HmacAlgorithm, Mac, RTCCrypto,
    StreamCipher, StreamCipherAlgorithm,
};

use super::{Profile, TAG_BYTES_MAX};

/// What AES-CM with HMAC-SHA1-80 adds.
pub(super) const SHORT_TAG_BYTES: usize = 10;

/// Labels of key derivation (RFC 3711, section 4.3.2).
const LABEL_ENCRYPTION: u8 = 0;
const LABEL_AUTHENTICATION: u8 = 1;
const LABEL_SALT: u8 = 2;

pub(super) enum Cipher {
    Gcm {
        aead: Box<dyn AeadCipher>,
        salt: [u8; 12],
    },
    Cm {
        stream: Box<dyn StreamCipher>,
        mac: Box<dyn Mac>,
        salt: [u8; 14],
    },
}

impl Cipher {
    pub(super) fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        key: &[u8],
        salt: &[u8],
    ) -> Result<Self, CryptoError> {
        let derived = |label, length| derive(crypto, key, salt, label, length);
        let encryption = derived(LABEL_ENCRYPTION, Profile::KEY_BYTES)?;
        Ok(match profile {
            Profile::Aes128Gcm => {
                let mut session_salt = [0; 12];
                session_salt.copy_from_slice(&derived(LABEL_SALT, 12)?);
                Self::Gcm {
                    aead: crypto.new_aead(AeadAlgorithm::Aes128Gcm, &encryption)?,
                    salt: session_salt,
                }
            }
            Profile::Aes128CmSha1 => {
                let mut session_salt = [0; 14];
                session_salt.copy_from_slice(&derived(LABEL_SALT, 14)?);
                Self::Cm {
                    stream: crypto
                        .new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &encryption)?,
                    mac: crypto
                        .new_hmac(HmacAlgorithm::Sha1, &derived(LABEL_AUTHENTICATION, 20)?)?,
                    salt: session_salt,
                }
            }
        })
    }

    pub(super) const fn tag_bytes(&self) -> usize {
        match self {
            Self::Gcm { .. } => TAG_BYTES_MAX,
            Self::Cm { .. } => SHORT_TAG_BYTES,
        }
    }
}

/// AES-CM key derivation with a key derivation rate of zero (RFC 3711, section 4.3.3).
fn derive(
    crypto: &dyn RTCCrypto,
    key: &[u8],
    salt: &[u8],
    label: u8,
    length: usize,
) -> Result<Vec<u8>, CryptoError> {
    let mut input = [0; 16];
    input[..salt.len()].copy_from_slice(salt);
    input[7] ^= label;
    let mut output = Vec::with_capacity(32);
    for counter in 0..length.div_ceil(16) {
        let mut block = input;
        block[15] = counter as u8;
        crypto.block_encrypt(BlockCipherAlgorithm::Aes128, key, &mut block)?;
        output.extend(block);
    }
    output.truncate(length);
    Ok(output)
}

/// RFC 7714, section 8.1.
pub(super) fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    nonce
}

/// RFC 3711, section 4.1.1.
pub(super) fn cm_counter(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut counter = [0; 16];
    counter[4..8].copy_from_slice(&ssrc.to_be_bytes());
    counter[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in counter.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    counter
}

/// The rollover counter of an index.
pub(super) const fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
