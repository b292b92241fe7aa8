//! ICE-lite (RFC 8445, section 2.5): the edge answers checks and follows the client's nomination.

use std::net::SocketAddr;

use rtc_crypto::{RTCCrypto, constant_time_eq};
use rtc_stun::attributes::{ATTR_ERROR_CODE, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, CLASS_ERROR_RESPONSE, CLASS_INDICATION, METHOD_BINDING,
    Message, MessageType,
};
use rtc_stun::xoraddr::XorMappedAddress;
use sluice_types::ids::base32;
use thiserror::Error;

/// The longest STUN message that is looked at, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_200;

/// A STUN message with an error code alone, and what follows its header, in bytes.
const REFUSAL_BYTES: usize = 28;
const ATTRIBUTE_BYTES: u16 = 8;

/// The edge's half of a participant's credentials (RFC 8445, section 5.3).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LocalCredentials {
    /// The user fragment, unique among the edge's participants.
    pub(crate) ufrag: String,
    /// The password; never logged.
    pub(crate) password: String,
}

impl LocalCredentials {
    /// Credentials of these random bytes: 80 bits of fragment, 160 of password.
    pub(crate) fn from_random(bytes: &[u8; 30]) -> Self {
        Self {
            ufrag: base32(&bytes[..10]),
            password: base32(&bytes[10..]),
        }
    }
}

/// Why a check is not answered.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum StunError {
    /// It is not a STUN message, or one of no interest here.
    #[error("not a STUN binding request")]
    NotARequest,
    /// It names no participant.
    #[error("no user name in a STUN request")]
    NoUsername,
    /// Its integrity cannot be verified with the participant's password.
    #[error("a STUN request with a wrong password")]
    Forged,
}

/// A binding request that was read, but not yet verified.
pub(crate) struct Check {
    message: Message,
    local_ufrag: String,
    remote_ufrag: String,
}

impl Check {
    /// Reads a binding request.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, StunError> {
        if packet.len() > MESSAGE_BYTES_MAX {
            return Err(StunError::NotARequest);
        }
        let mut message = Message::new();
        message
            .unmarshal_binary(packet)
            .map_err(|_| StunError::NotARequest)?;
        if message.typ != BINDING_REQUEST {
            return Err(StunError::NotARequest);
        }
        let username = message
            .get(ATTR_USERNAME)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(StunError::NoUsername)?;
        let (local, remote) = username.split_once(':').ok_or(StunError::NoUsername)?;
        Ok(Self {
            local_ufrag: local.to_owned(),
            remote_ufrag: remote.to_owned(),
            message,
        })
    }

    /// Whose check it says it is: the edge's own user fragment.
    pub(crate) fn local_ufrag(&self) -> &str {
        &self.local_ufrag
    }

    /// Verifies the check, and gives the answer to send back to `from` and whether the client
    /// nominates this path.
    pub(crate) fn answer(
        mut self,
        credentials: &LocalCredentials,
        remote_ufrag: &str,
        from: SocketAddr,
        crypto: &dyn RTCCrypto,
    ) -> Result<(Vec<u8>, bool), StunError> {
        if !constant_time_eq(self.remote_ufrag.as_bytes(), remote_ufrag.as_bytes()) {
            return Err(StunError::Forged);
        }
        let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
            credentials.password.clone(),
            crypto,
        );
        MessageIntegrity::check(&mut self.message, credentials.password.as_bytes(), crypto)
            .map_err(|_| StunError::Forged)?;
        let nominated = self.message.contains(ATTR_USE_CANDIDATE);
        let mut answer = Message::new();
        answer
            .build(&[
                Box::new(self.message.transaction_id),
                Box::new(BINDING_SUCCESS),
                Box::new(XorMappedAddress {
                    ip: from.ip(),
                    port: from.port(),
                }),
                Box::new(integrity),
                Box::new(FINGERPRINT),
            ])
            .map_err(|_| StunError::NotARequest)?;
        Ok((answer.raw, nominated))
    }
}

/// The answer to a binding request that names nobody: 400, as RFC 8489, section 9.1.3 has it, so that
/// whoever looks for reasons learns that the port is reached. Nothing for requests that are shorter than
/// it: an address that somebody else wrote into a packet gets no more than was sent.
pub(crate) fn refusal(request: &[u8]) -> Option<[u8; REFUSAL_BYTES]> {
    let kind = BINDING_REQUEST.value().to_be_bytes();
    if request.len() < REFUSAL_BYTES || !request.starts_with(&kind) {
        return None;
    }
    let mut answer = [0; REFUSAL_BYTES];
    let kind = MessageType::new(METHOD_BINDING, CLASS_ERROR_RESPONSE).value();
    answer[..2].copy_from_slice(&kind.to_be_bytes());
    answer[2..4].copy_from_slice(&ATTRIBUTE_BYTES.to_be_bytes());
    // Cookie and transaction are the request's.
    answer[4..20].copy_from_slice(&request[4..20]);
    answer[20..22].copy_from_slice(&ATTR_ERROR_CODE.value().to_be_bytes());
    answer[22..24].copy_from_slice(&4_u16.to_be_bytes());
    // 400 is its hundreds and the rest; no words.
    answer[26] = 4;
    Some(answer)
}

/// Whether a packet is a binding indication, with which a client keeps a path alive.
pub(crate) fn is_indication(packet: &[u8]) -> bool {
    let indication = MessageType::new(METHOD_BINDING, CLASS_INDICATION).value();
    packet.starts_with(&indication.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use rtc_stun::message::Setter as _;

    use super::*;

    const FROM: &str = "192.0.2.7:5000";

    fn credentials() -> LocalCredentials {
        LocalCredentials::from_random(&std::array::from_fn(|n| n as u8))
    }

    fn request(username: &str, password: &str, nominate: bool) -> Vec<u8> {
        let provider = rtc_crypto::default_provider().expect("ring");
        let mut message = Message::new();
        message.new_transaction_id().expect("random bytes");
        message.set_type(BINDING_REQUEST);
        message.write_header();
        message.add(ATTR_USERNAME, username.as_bytes());
        if nominate {
            message.add(ATTR_USE_CANDIDATE, &[]);
        }
        MessageIntegrity::new_short_term_integrity_with_provider(
            password.to_owned(),
            provider.crypto(),
        )
        .add_to(&mut message)
        .expect("no fingerprint yet");
        FINGERPRINT.add_to(&mut message).expect("short");
        message.raw
    }

    fn answered(packet: &[u8]) -> Result<(Vec<u8>, bool), StunError> {
        let provider = rtc_crypto::default_provider().expect("ring");
        Check::parse(packet)?.answer(
            &credentials(),
            "far",
            FROM.parse().expect("an address"),
            provider.crypto(),
        )
    }

    #[test]
    fn a_valid_check_is_answered_with_where_it_came_from() {
        let near = credentials();
        let username = format!("{}:far", near.ufrag);
        for nominate in [false, true] {
            let (answer, nominated) =
                answered(&request(&username, &near.password, nominate)).expect("valid");
            assert_eq!(nominated, nominate);
            let mut message = Message::new();
            message.unmarshal_binary(&answer).expect("STUN");
            let mut mapped = XorMappedAddress::default();
            mapped
                .get_from_as(&message, rtc_stun::attributes::ATTR_XORMAPPED_ADDRESS)
                .expect("mapped address");
            assert_eq!(format!("{}:{}", mapped.ip, mapped.port), FROM);
            let provider = rtc_crypto::default_provider().expect("ring");
            MessageIntegrity::check(&mut message, near.password.as_bytes(), provider.crypto())
                .expect("sealed with the edge's password");
        }
    }

    #[test]
    fn others_are_not() {
        let near = credentials();
        let username = format!("{}:far", near.ufrag);
        assert_eq!(
            answered(&request(&username, "guess", true)),
            Err(StunError::Forged)
        );
        let stranger = format!("{}:other", near.ufrag);
        assert_eq!(
            answered(&request(&stranger, &near.password, true)),
            Err(StunError::Forged)
        );
        assert_eq!(
            answered(&request("nobody", &near.password, true)),
            Err(StunError::NoUsername)
        );
        assert_eq!(answered(&[0; 20]), Err(StunError::NotARequest));
    }

    #[test]
    fn who_names_nobody_is_told_so_in_no_more_bytes_than_he_sent() {
        let mut request = Message::new();
        request.new_transaction_id().expect("random bytes");
        request.set_type(BINDING_REQUEST);
        request.write_header();
        assert_eq!(refusal(&request.raw), None);
        request.add(rtc_stun::attributes::ATTR_SOFTWARE, b"test");
        let refused = refusal(&request.raw).expect("long enough");
        assert!(refused.len() <= request.raw.len());
        let mut answer = Message::new();
        answer.unmarshal_binary(&refused).expect("STUN");
        assert_eq!(answer.transaction_id, request.transaction_id);
        let mut code = rtc_stun::error_code::ErrorCodeAttribute::default();
        rtc_stun::message::Getter::get_from(&mut code, &answer).expect("a code");
        assert_eq!(code.code.0, 400);
        // An answer is never answered.
        assert_eq!(refusal(&refused), None);
    }
}
