//! DTLS (RFC 6347) with the SRTP extension (RFC 5764) between an edge and one participant.
//!
//! The rest of the edge sees [`Dtls`] and its events only, so that another implementation, say of
//! DTLS 1.3, can take the place of `rtc-dtls`.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider, constant_time_eq};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_srtp::config::LABEL_EXTRACTOR_DTLS_SRTP;
use thiserror::Error;

use crate::srtp::{Profile, Role, Srtp, SrtpError};

/// The DTLS record types that a first flight may begin with: handshake (RFC 6347, section 4.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Datagrams of a ClientHello that is not whole yet; one with post-quantum key shares takes two.
const FIRST_FLIGHT_MAX: usize = 8;

/// The largest handshake datagram that is sent, in bytes.
const MTU: usize = 1_200;

/// `use_srtp` (RFC 5764, section 9).
const USE_SRTP: [u8; 2] = [0, 14];

/// The one peer of each endpoint. The path may change under the association, so the endpoint is
/// told of no address at all.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What went wrong with an association; it is of no use afterwards.
#[derive(Debug, Error)]
pub enum DtlsError {
    /// `rtc-dtls` says no.
    #[error("DTLS: {0}")]
    Handshake(String),
    /// The client offers no SRTP profile that the edge has.
    #[error("the client offers neither SRTP_AEAD_AES_128_GCM nor SRTP_AES128_CM_HMAC_SHA1_80")]
    NoProfile,
    /// The client's certificate is not the one that its SDP names.
    #[error("the client's certificate does not have the fingerprint in its SDP")]
    Fingerprint,
    /// The keys cannot be used.
    #[error(transparent)]
    Srtp(#[from] SrtpError),
}

fn failed(error: &rtc_shared::error::Error) -> DtlsError {
    DtlsError::Handshake(error.to_string())
}

/// The SHA-256 fingerprint of a certificate (RFC 8122).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Reads `AB:CD:…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            let colon = if n == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// A certificate, made anew at each start (RFC 8827, section 6.5).
#[derive(Clone)]
pub struct DtlsIdentity {
    provider: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    fingerprint: Fingerprint,
}

impl DtlsIdentity {
    /// A new self-signed one.
    ///
    /// # Errors
    /// When the provider cannot make it.
    pub fn generate(provider: Arc<dyn RTCCryptoProvider>) -> Result<Self, DtlsError> {
        let certificate =
            Certificate::generate_self_signed(vec!["sluice".to_owned()], provider.crypto())
                .map_err(|error| failed(&error))?;
        let der = certificate
            .certificate
            .first()
            .ok_or_else(|| DtlsError::Handshake("no certificate was made".to_owned()))?;
        let fingerprint = sha256(&*provider, der)?;
        Ok(Self {
            provider,
            certificate,
            fingerprint,
        })
    }

    /// What SDP names it by.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The cryptography that it was made with.
    #[must_use]
    pub fn provider(&self) -> &Arc<dyn RTCCryptoProvider> {
        &self.provider
    }
}

fn sha256(provider: &dyn RTCCryptoProvider, der: &[u8]) -> Result<Fingerprint, DtlsError> {
    let digest = provider
        .crypto()
        .hash(HashAlgorithm::Sha256, der)
        .map_err(|error| DtlsError::Handshake(error.to_string()))?;
    digest
        .try_into()
        .map(Fingerprint)
        .map_err(|_| DtlsError::Handshake("SHA-256 gave no 32 bytes".to_owned()))
}

/// What both ends agree to: certificates are judged by the fingerprints in SDP alone.
fn config(identity: &DtlsIdentity, profile: Profile) -> ConfigBuilder {
    let profile = match profile {
        Profile::Aes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Profile::Aes128CmSha1 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    };
    ConfigBuilder::default()
        .with_crypto_provider(identity.provider.clone())
        .with_certificates(vec![identity.certificate.clone()])
        .with_srtp_protection_profiles(vec![profile])
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        .with_mtu(MTU)
}

/// What an association has to say.
pub enum DtlsEvent {
    /// The handshake is done and the certificate is the right one.
    Established(Box<Srtp>),
    /// The client closed it.
    Closed,
}

/// One association.
pub struct Dtls {
    role: Role,
    identity: DtlsIdentity,
    remote: Fingerprint,
    endpoint: Option<(Endpoint, Profile)>,
    first_flight: VecDeque<BytesMut>,
    /// Application data that came: SCTP packets.
    data: VecDeque<BytesMut>,
}

impl Dtls {
    /// Waits for the client whose certificate has the fingerprint `remote`.
    #[must_use]
    pub const fn accept(identity: DtlsIdentity, remote: Fingerprint) -> Self {
        Self {
            role: Role::Server,
            identity,
            remote,
            endpoint: None,
            first_flight: VecDeque::new(),
            data: VecDeque::new(),
        }
    }

    /// Begins a handshake with the server whose certificate has the fingerprint `remote`. Offers
    /// AES-GCM alone.
    ///
    /// # Errors
    /// When `rtc-dtls` refuses.
    pub fn connect(
        now: Instant,
        identity: DtlsIdentity,
        remote: Fingerprint,
    ) -> Result<Self, DtlsError> {
        let config = config(&identity, Profile::Aes128Gcm)
            .with_insecure_skip_verify(true)
            .build(true, Some(PEER))
            .map_err(|error| failed(&error))?;
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
        endpoint
            .connect(now, PEER, Arc::new(config), None)
            .map_err(|error| failed(&error))?;
        Ok(Self {
            role: Role::Client,
            endpoint: Some((endpoint, Profile::Aes128Gcm)),
            ..Self::accept(identity, remote)
        })
    }

    /// A datagram came.
    ///
    /// # Errors
    /// When the handshake fails; the association is of no use afterwards.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
    ) -> Result<Option<DtlsEvent>, DtlsError> {
        if self.endpoint.is_some() {
            return self.read(now, BytesMut::from(datagram));
        }
        if datagram.first() != Some(&HANDSHAKE_RECORD)
            || self.first_flight.len() == FIRST_FLIGHT_MAX
        {
            return Ok(None);
        }
        self.first_flight.push_back(BytesMut::from(datagram));
        let Some(profile) = offered_profile(self.first_flight.make_contiguous())? else {
            return Ok(None);
        };
        self.endpoint = Some((self.endpoint(profile)?, profile));
        let mut event = None;
        while let Some(datagram) = self.first_flight.pop_front() {
            event = self.read(now, datagram)?.or(event);
        }
        Ok(event)
    }

    /// The client's order of preference decides in `rtc-dtls`; by offering it one profile alone the
    /// edge's does, and AES-GCM wins wherever it is offered.
    fn endpoint(&self, profile: Profile) -> Result<Endpoint, DtlsError> {
        let config = config(&self.identity, profile)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .build(false, None)
            .map_err(|error| failed(&error))?;
        Ok(Endpoint::new(
            PEER,
            TransportProtocol::UDP,
            Some(Arc::new(config)),
        ))
    }

    fn read(&mut self, now: Instant, datagram: BytesMut) -> Result<Option<DtlsEvent>, DtlsError> {
        let Some((endpoint, profile)) = &mut self.endpoint else {
            return Ok(None);
        };
        let profile = *profile;
        let events = endpoint
            .read(now, PEER, None, datagram)
            .map_err(|error| failed(&error))?;
        let mut last = None;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    last = Some(DtlsEvent::Established(Box::new(self.keys(profile)?)));
                }
                EndpointEvent::PeerClosed => last = Some(DtlsEvent::Closed),
                EndpointEvent::ApplicationData(data) => self.data.push_back(data),
                _ => {}
            }
        }
        Ok(last)
    }

    fn keys(&self, profile: Profile) -> Result<Srtp, DtlsError> {
        let state = self
            .endpoint
            .as_ref()
            .and_then(|(endpoint, _)| endpoint.get_connection_state(PEER))
            .ok_or_else(|| DtlsError::Handshake("no association".to_owned()))?;
        let provider = &*self.identity.provider;
        let certificate = state
            .peer_certificates
            .first()
            .ok_or(DtlsError::Fingerprint)?;
        if !constant_time_eq(&sha256(provider, certificate)?.0, &self.remote.0) {
            return Err(DtlsError::Fingerprint);
        }
        let keying = state
            .export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], profile.keying_bytes())
            .map_err(|error| failed(&error))?;
        Ok(Srtp::new(
            provider.crypto(),
            profile,
            self.role,
            keying.as_ref(),
        )?)
    }

    /// The next application data that came; the caller takes all of it after each datagram.
    pub fn poll_data(&mut self) -> Option<BytesMut> {
        self.data.pop_front()
    }

    /// Encrypts application data; it comes out of [`Self::poll_transmit`].
    ///
    /// # Errors
    /// When the association cannot.
    pub fn write(&mut self, now: Instant, data: &[u8]) -> Result<(), DtlsError> {
        match &mut self.endpoint {
            Some((endpoint, _)) => endpoint
                .write(now, PEER, data)
                .map_err(|error| failed(&error)),
            None => Ok(()),
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        let (endpoint, _) = self.endpoint.as_mut()?;
        endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.as_ref()?.0.poll_timeout(&PEER)
    }

    /// Repeats what was lost.
    ///
    /// # Errors
    /// When the handshake was repeated too often.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        match &mut self.endpoint {
            Some((endpoint, _)) => endpoint
                .handle_timeout(PEER, now)
                .map_err(|error| failed(&error)),
            None => Ok(()),
        }
    }

    /// Says goodbye; what is to be sent for it comes out of [`Self::poll_transmit`].
    pub fn close(&mut self, now: Instant) {
        if let Some((endpoint, _)) = &mut self.endpoint {
            endpoint.stop(now, PEER);
        }
    }
}

/// The best profile in the `use_srtp` extension of a ClientHello that is spread over `datagrams`,
/// which may have come in any order; `None` while the extension has not come.
///
/// The extension is searched for by its shape: type, length, length of the list, profiles, no MKI.
/// That needs no reassembly, and a mistaken match would only end this client's own handshake.
fn offered_profile(datagrams: &[BytesMut]) -> Result<Option<Profile>, DtlsError> {
    for datagram in datagrams {
        for start in 0..datagram.len() {
            let Some(profiles) = srtp_profiles(&datagram[start..]) else {
                continue;
            };
            let offers = |profile: u16| {
                profiles
                    .chunks_exact(2)
                    .any(|offered| offered == profile.to_be_bytes())
            };
            return if offers(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm as u16) {
                Ok(Some(Profile::Aes128Gcm))
            } else if offers(SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 as u16) {
                Ok(Some(Profile::Aes128CmSha1))
            } else {
                Err(DtlsError::NoProfile)
            };
        }
    }
    Ok(None)
}

/// The profiles of the `use_srtp` extension that `bytes` begin with.
fn srtp_profiles(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&USE_SRTP)?;
    let [0, length, 0, list, rest @ ..] = rest else {
        return None;
    };
    let list = usize::from(*list);
    let plausible = list >= 2 && list.is_multiple_of(2) && usize::from(*length) == list + 3;
    let profiles = rest.get(..list).filter(|_| plausible)?;
    let known = |profile: &[u8]| profile[0] == 0 && (1..=8).contains(&profile[1]);
    (rest.get(list) == Some(&0) && profiles.chunks_exact(2).all(known)).then_some(profiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_read_as_they_are_written() {
        let fingerprint = Fingerprint(std::array::from_fn(|n| n as u8 * 7));
        assert_eq!(
            Fingerprint::parse(&fingerprint.to_string()),
            Some(fingerprint)
        );
        assert_eq!(Fingerprint::parse("AB:CD"), None);
        assert_eq!(Fingerprint::parse(&format!("{fingerprint}:00")), None);
    }

    #[test]
    fn gcm_wins_wherever_it_stands() {
        let hello = |profiles: &[u8]| {
            let length = profiles.len() as u8;
            let mut bytes = vec![22, 254, 253, 9, 9, 0, 14];
            bytes.extend([0, length + 3, 0, length]);
            bytes.extend(profiles);
            bytes.extend([0, 0, 23, 0, 0]);
            [
                BytesMut::from(&b"\x16elsewhere"[..]),
                BytesMut::from(&bytes[..]),
            ]
        };
        let offered = |profiles: &[u8]| offered_profile(&hello(profiles));
        assert!(matches!(
            offered(&[0, 1, 0, 8, 0, 7]),
            Ok(Some(Profile::Aes128Gcm))
        ));
        assert!(matches!(
            offered(&[0, 2, 0, 1]),
            Ok(Some(Profile::Aes128CmSha1))
        ));
        assert!(matches!(offered(&[0, 8]), Err(DtlsError::NoProfile)));
        assert!(matches!(offered_profile(&hello(&[0, 7])[..1]), Ok(None)));
    }
}
