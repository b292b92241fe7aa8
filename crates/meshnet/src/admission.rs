//! Who may not take part, although its certificate is the mesh's: certificates that were revoked, and
//! addresses that may not connect.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::VarInt;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sluice_guard::{AddressRules, network};
use thiserror::Error;

use crate::connection::CloseCode;

/// Handshakes under way at once from one IPv4 address or IPv6 /64.
const HANDSHAKES_PER_NETWORK: usize = 32;

/// The SHA-256 digest of a certificate (DER), which tells it from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of this certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(bytes)
    }

    /// That of the first certificate of a PEM text.
    ///
    /// # Errors
    /// When the text has none.
    pub fn of_pem(text: &str) -> Result<Self, NoFingerprint> {
        let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes());
        let first = certificates.next().and_then(Result::ok);
        let first = first.ok_or_else(|| NoFingerprint("a text without a certificate".to_owned()));
        first.map(|certificate| Self::of(&certificate))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no fingerprint of a certificate: 64 hexadecimal digits of SHA-256, colons are passed over"
)]
pub struct NoFingerprint(String);

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    /// As `openssl x509 -fingerprint -sha256` writes it, or without colons.
    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let fault = || NoFingerprint(text.chars().take(100).collect());
        let digits: Vec<_> = text.chars().filter(|&c| c != ':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(fault());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |at: usize| pair[at].to_digit(16).ok_or_else(fault);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// See the module. Clones share it, so that one list holds for all endpoints of a process.
#[derive(Clone, Default)]
pub struct Admission(Arc<Inner>);

#[derive(Default)]
struct Inner {
    addresses: AddressRules,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    revoked: BTreeSet<Fingerprint>,
    /// Connections that stand, so that those of a revoked certificate can be ended.
    standing: HashMap<u64, (Fingerprint, quinn::Connection)>,
    next: u64,
    handshakes: HashMap<IpAddr, usize>,
}

impl Admission {
    /// Only peers whom `addresses` allow may connect.
    #[must_use]
    pub fn from(addresses: AddressRules) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { addresses, state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these certificates, and no others, are refused; connections that stand with them
    /// are closed. Gives how many were.
    pub fn revoke(&self, revoked: BTreeSet<Fingerprint>) -> usize {
        let mut state = self.state();
        let concerned = state
            .standing
            .values()
            .filter(|(of, _)| revoked.contains(of));
        let closed: Vec<_> = concerned
            .map(|(_, connection)| connection.clone())
            .collect();
        state.revoked = revoked;
        drop(state);
        for connection in &closed {
            connection.close(
                VarInt::from_u32(CloseCode::Refused.as_u32()),
                b"the certificate is revoked",
            );
        }
        closed.len()
    }

    /// Whether that certificate is revoked.
    #[must_use]
    pub fn is_revoked(&self, fingerprint: &Fingerprint) -> bool {
        self.state().revoked.contains(fingerprint)
    }

    /// Counts a connection among those that stand, unless its certificate is revoked.
    pub(crate) fn stand(
        &self,
        fingerprint: Fingerprint,
        connection: &quinn::Connection,
    ) -> Result<Standing, Revoked> {
        let mut state = self.state();
        if state.revoked.contains(&fingerprint) {
            return Err(Revoked(fingerprint));
        }
        let number = state.next;
        state.next += 1;
        let stands = (fingerprint, connection.clone());
        state.standing.insert(number, stands);
        let admission = self.clone();
        Ok(Standing { admission, number })
    }

    pub(crate) fn allows(&self, from: IpAddr) -> bool {
        self.0.addresses.allows(from)
    }

    /// Counts a handshake, unless that network has enough of them under way. The count is bounded as
    /// handshakes are in all.
    pub(crate) fn begin(&self, from: IpAddr) -> Option<Handshake> {
        let network = network(from);
        let mut state = self.state();
        let running = state.handshakes.get(&network).copied().unwrap_or_default();
        if running >= HANDSHAKES_PER_NETWORK {
            return None;
        }
        state.handshakes.insert(network, running + 1);
        let admission = self.clone();
        Some(Handshake { admission, network })
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

/// The peer's certificate is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the certificate {0} is revoked")]
pub struct Revoked(pub Fingerprint);

/// A connection that stands until this is dropped.
#[derive(Debug)]
pub(crate) struct Standing {
    admission: Admission,
    number: u64,
}

impl Drop for Standing {
    fn drop(&mut self) {
        // Taken out first: the last handle of a connection may close it.
        let gone = self.admission.state().standing.remove(&self.number);
        drop(gone);
    }
}

/// A handshake that is under way until this is dropped.
pub(crate) struct Handshake {
    admission: Admission,
    network: IpAddr,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        if let Some(running) = state.handshakes.get_mut(&self.network) {
            *running -= 1;
            if *running == 0 {
                state.handshakes.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_writes_them() {
        let certificate = CertificateDer::from(b"abc".to_vec());
        let fingerprint = Fingerprint::of(&certificate);
        // printf abc | sha256sum
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint.to_string(), text);
        let pairs: Vec<_> = (0..32)
            .map(|n| text[2 * n..2 * n + 2].to_uppercase())
            .collect();
        assert_eq!(pairs.join(":").parse(), Ok(fingerprint));
        for fault in ["", "ba78", &text.replace('b', "x"), &format!("{text}00")] {
            assert!(fault.parse::<Fingerprint>().is_err(), "{fault}");
        }
    }

    #[test]
    fn one_network_has_a_bounded_number_of_handshakes() {
        let admission = Admission::default();
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut running: Vec<_> = std::iter::from_fn(|| admission.begin(ip("192.0.2.1"))).collect();
        assert_eq!(running.len(), HANDSHAKES_PER_NETWORK);
        assert!(admission.begin(ip("192.0.2.2")).is_some());
        running.pop();
        assert!(admission.begin(ip("192.0.2.1")).is_some());
        drop(running);
        assert!(admission.state().handshakes.is_empty());
    }
}
