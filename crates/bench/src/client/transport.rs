//! ICE (RFC 8445, as the controlling agent of a lite peer) and DTLS of one client, without a socket.

use std::time::{Duration, Instant};

use rtc_crypto::RTCCrypto;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter as _};
use sluice_wire::dtls::{Dtls, DtlsError, DtlsEvent, DtlsIdentity};
use sluice_wire::srtp::Srtp;

use super::sdp::{Local, Remote};

/// How often the path is checked until it answers, and afterwards (RFC 7675).
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
const CONSENT_INTERVAL: Duration = Duration::from_secs(4);

/// The priority of a host candidate (RFC 8445, section 5.1.2.1).
const PRIORITY: u32 = (110 << 24) + (65_535 << 8) + 255;

/// The way to the edge.
pub(crate) struct Transport {
    identity: DtlsIdentity,
    check: Vec<u8>,
    next_check: Instant,
    remote: Remote,
    answered: bool,
    dtls: Option<Dtls>,
    pub(crate) srtp: Option<Box<Srtp>>,
    outgoing: Vec<Vec<u8>>,
}

impl Transport {
    pub(crate) fn new(
        now: Instant,
        identity: DtlsIdentity,
        local: &Local,
        remote: Remote,
    ) -> Option<Self> {
        let check = check(local, &remote, identity.provider().crypto())?;
        Some(Self {
            identity,
            check,
            next_check: now,
            remote,
            answered: false,
            dtls: None,
            srtp: None,
            outgoing: Vec::new(),
        })
    }

    /// A STUN message or a DTLS record came; says whether the connection is now up.
    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<bool, DtlsError> {
        match datagram.first() {
            // A success response (RFC 5389, section 6).
            Some(1) if !self.answered => {
                self.answered = true;
                let identity = self.identity.clone();
                self.dtls = Some(Dtls::connect(now, identity, self.remote.fingerprint)?);
            }
            Some(20..=63) => {
                if let Some(dtls) = &mut self.dtls
                    && let Some(DtlsEvent::Established(srtp)) = dtls.receive(now, datagram)?
                {
                    self.srtp = Some(srtp);
                    self.collect();
                    return Ok(true);
                }
            }
            _ => {}
        }
        self.collect();
        Ok(false)
    }

    /// Does what time demands.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        if now >= self.next_check {
            self.outgoing.push(self.check.clone());
            self.next_check = now
                + if self.answered {
                    CONSENT_INTERVAL
                } else {
                    CHECK_INTERVAL
                };
        }
        if let Some(dtls) = &mut self.dtls
            && dtls.poll_timeout().is_some_and(|at| at <= now)
        {
            dtls.handle_timeout(now)?;
        }
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        if let Some(dtls) = &mut self.dtls {
            while let Some(datagram) = dtls.poll_transmit() {
                self.outgoing.push(datagram.to_vec());
            }
        }
    }

    /// What is to be sent.
    pub(crate) fn take_outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }
}

/// A binding request that nominates the path at once; the same one serves for every check.
fn check(local: &Local, remote: &Remote, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
    let mut message = Message::new();
    message.new_transaction_id().ok()?;
    message.set_type(BINDING_REQUEST);
    message.write_header();
    let username = format!("{}:{}", remote.ufrag, local.ufrag);
    message.add(ATTR_USERNAME, username.as_bytes());
    message.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
    message.add(ATTR_ICE_CONTROLLING, &[0; 8]);
    message.add(ATTR_USE_CANDIDATE, &[]);
    MessageIntegrity::new_short_term_integrity_with_provider(remote.password.clone(), crypto)
        .add_to(&mut message)
        .ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}
