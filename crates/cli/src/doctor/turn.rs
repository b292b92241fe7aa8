//! STUN and TURN (RFC 8489, RFC 8656) as far as a client needs them to know that coturn serves it:
//! a binding, an allocation with a credential as the coordinator makes them, and its end.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rtc_crypto::RTCCrypto;
use rtc_stun::attributes::{
    ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME,
    ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS, AttrType,
};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter as _,
    METHOD_ALLOCATE, METHOD_REFRESH, Message, MessageType, Setter as _,
};
use rtc_stun::xoraddr::XorMappedAddress;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long an answer may take, and how often a request is sent: UDP loses some.
const ANSWER: Duration = Duration::from_millis(1_000);
const TRIES: usize = 3;

/// Protocol number of UDP, as REQUESTED-TRANSPORT carries it.
const UDP: [u8; 4] = [17, 0, 0, 0];

/// Why a server does not serve.
#[derive(Debug, Error)]
pub(super) enum TurnError {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("no answer to {TRIES} requests over UDP")]
    Silent,
    #[error("what comes back is not an answer: {0}")]
    Malformed(String),
    #[error("it asks for no credential, so anybody may relay over it")]
    Open,
    #[error("it refuses the credential: {0}")]
    Refused(String),
}

/// What a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allocated {
    /// Where the server sees us.
    pub(super) mapped: SocketAddr,
    /// Where it would relay from.
    pub(super) relayed: SocketAddr,
}

struct Line<'a> {
    socket: UdpSocket,
    crypto: &'a dyn RTCCrypto,
}

/// Asks `server` where we are, allocates with the credential, and gives the allocation back.
pub(super) async fn allocate(
    server: SocketAddr,
    username: &str,
    password: &str,
) -> Result<Allocated, TurnError> {
    let provider =
        rtc_crypto::default_provider().map_err(|error| TurnError::Malformed(error.to_string()))?;
    let line = Line::open(server, provider.crypto()).await?;
    let bound = line.ask(&request(BINDING_REQUEST, &[])?).await?;
    let mapped = address(&bound, ATTR_XORMAPPED_ADDRESS)?;
    let allocate = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
    let challenge = line
        .ask(&request(allocate, &[(ATTR_REQUESTED_TRANSPORT, &UDP)])?)
        .await?;
    if challenge.typ.class == CLASS_SUCCESS_RESPONSE {
        return Err(TurnError::Open);
    }
    let attribute = |of: AttrType| challenge.get(of).map_err(malformed);
    let (realm, nonce) = match (attribute(ATTR_REALM), attribute(ATTR_NONCE)) {
        (Ok(realm), Ok(nonce)) => (realm, nonce),
        _ => return Err(TurnError::Refused(reason(&challenge))),
    };
    let key = MessageIntegrity::long_term_integrity_key(
        username.to_owned(),
        String::from_utf8_lossy(&realm).into_owned(),
        password.to_owned(),
        provider.crypto(),
    )
    .map_err(malformed)?;
    let proof: [(AttrType, &[u8]); 3] = [
        (ATTR_USERNAME, username.as_bytes()),
        (ATTR_REALM, &realm),
        (ATTR_NONCE, &nonce),
    ];
    let mut attributes = vec![(ATTR_REQUESTED_TRANSPORT, &UDP[..])];
    attributes.extend(proof);
    let answer = line.ask(&line.sealed(allocate, &attributes, &key)?).await?;
    if answer.typ.class != CLASS_SUCCESS_RESPONSE {
        return Err(TurnError::Refused(reason(&answer)));
    }
    let relayed = address(&answer, ATTR_XOR_RELAYED_ADDRESS)?;
    // A server that does not hear of the end keeps the allocation for ten minutes, which is no harm.
    let mut attributes: Vec<(AttrType, &[u8])> = vec![(ATTR_LIFETIME, &[0; 4])];
    attributes.extend(proof);
    let refresh = MessageType::new(METHOD_REFRESH, CLASS_REQUEST);
    let _ = line.ask(&line.sealed(refresh, &attributes, &key)?).await;
    Ok(Allocated { mapped, relayed })
}

impl<'a> Line<'a> {
    async fn open(server: SocketAddr, crypto: &'a dyn RTCCrypto) -> Result<Self, TurnError> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        Ok(Self { socket, crypto })
    }

    /// A request with a message integrity of that key.
    fn sealed(
        &self,
        kind: MessageType,
        attributes: &[(AttrType, &[u8])],
        key: &[u8],
    ) -> Result<Message, TurnError> {
        let mut message = request(kind, attributes)?;
        MessageIntegrity::new_raw_integrity_with_provider(key, self.crypto)
            .add_to(&mut message)
            .map_err(malformed)?;
        Ok(message)
    }

    /// The answer to this very request.
    async fn ask(&self, request: &Message) -> Result<Message, TurnError> {
        let mut buffer = [0; 1_500];
        for _ in 0..TRIES {
            // A port that is closed shows as an error of the next call; it is as silent as others.
            let _ = self.socket.send(&request.raw).await;
            let answered = timeout(ANSWER, async {
                loop {
                    let Ok(length) = self.socket.recv(&mut buffer).await else {
                        std::future::pending().await
                    };
                    let mut answer = Message::new();
                    if answer.unmarshal_binary(&buffer[..length]).is_ok()
                        && answer.transaction_id == request.transaction_id
                    {
                        return answer;
                    }
                }
            });
            if let Ok(answer) = answered.await {
                return Ok(answer);
            }
        }
        Err(TurnError::Silent)
    }
}

fn request(kind: MessageType, attributes: &[(AttrType, &[u8])]) -> Result<Message, TurnError> {
    let mut message = Message::new();
    message.new_transaction_id().map_err(malformed)?;
    message.set_type(kind);
    message.write_header();
    for (name, value) in attributes {
        message.add(*name, value);
    }
    Ok(message)
}

fn address(message: &Message, of: AttrType) -> Result<SocketAddr, TurnError> {
    if message.typ.class == CLASS_ERROR_RESPONSE {
        return Err(TurnError::Malformed(reason(message)));
    }
    let mut found = XorMappedAddress::default();
    found.get_from_as(message, of).map_err(malformed)?;
    Ok(SocketAddr::new(found.ip, found.port))
}

fn reason(message: &Message) -> String {
    let mut code = ErrorCodeAttribute::default();
    match code.get_from(message) {
        Ok(()) => code.to_string(),
        Err(_) => "it says not why".to_owned(),
    }
}

fn malformed(error: impl std::fmt::Display) -> TurnError {
    TurnError::Malformed(error.to_string())
}
