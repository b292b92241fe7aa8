//! How peers learn at once that a process was killed and started again.
//!
//! A process that gets a packet of a connection it does not know answers with a stateless reset
//! (RFC 9000, section 10.3). The peer believes it when the token is the one it was given, so the
//! tokens' key comes from the private key, which survives a restart, instead of from chance.

use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::tls::{Credentials, CredentialsError};

const ID_BYTES: usize = 8;

pub(crate) fn endpoint_config(
    credentials: &Credentials,
) -> Result<EndpointConfig, CredentialsError> {
    let reset_key = credentials.derived_key("sluice stateless reset");
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| CredentialsError::NoRandomness)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &seed);
    config.cid_generator(move || {
        Box::new(Ids {
            key: key.clone(),
            count: 0,
        })
    });
    Ok(config)
}

/// Unforeseeable connection ids. Unlike QUIC's usual ones they carry no check of their maker: with
/// it, packets for the process before would be dropped without the reset.
struct Ids {
    key: hmac::Key,
    count: u64,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.count += 1;
        let tag = hmac::sign(&self.key, &self.count.to_be_bytes());
        ConnectionId::new(&tag.as_ref()[..ID_BYTES])
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
