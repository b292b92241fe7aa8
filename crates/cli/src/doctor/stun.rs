//! STUN and TURN (RFC 8489, RFC 8656) as far as a client needs them to know what a server does: a
//! binding, an allocation, permissions, and its end; over UDP, and over TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::{
    ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_SOFTWARE, ATTR_USERNAME,
    ATTR_XOR_PEER_ADDRESS, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS, AttrType,
};
use rtc_stun::error_code::{CODE_FORBIDDEN, ErrorCodeAttribute};
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter as _,
    METHOD_ALLOCATE, METHOD_CREATE_PERMISSION, METHOD_REFRESH, Message, MessageType, Method,
    Setter as _,
};
use rtc_stun::xoraddr::XorMappedAddress;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long an answer may take, and how often a request is sent over UDP, which loses some.
const ANSWER: Duration = Duration::from_millis(1_000);
const TRIES: u32 = 3;

/// Protocol number of UDP, as REQUESTED-TRANSPORT carries it.
const UDP: [u8; 4] = [17, 0, 0, 0];

/// What a permission is for: it is of an address, and ports do not matter.
const ANY_PORT: u16 = 9;

const HEADER_BYTES: usize = 20;
const MESSAGE_BYTES_MAX: usize = 1_500;

/// Why a server does not serve.
#[derive(Debug, Error)]
pub(super) enum TurnError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("no answer within {:?}", ANSWER * TRIES)]
    Silent,
    #[error("what comes back is not an answer: {0}")]
    Malformed(String),
    #[error("it asks for no credential, so anybody may relay over it")]
    Open,
    #[error("it refuses the credential: {0}")]
    Refused(String),
}

/// A server, and the way to it.
pub(super) struct Line {
    wire: Wire,
    crypto: Arc<dyn RTCCryptoProvider>,
}

enum Wire {
    Udp(UdpSocket),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An allocation of ours at a server.
pub(super) struct Allocation {
    line: Line,
    identity: [(AttrType, Vec<u8>); 3],
    key: Vec<u8>,
    /// Where the server sees us.
    pub(super) mapped: SocketAddr,
    /// Where it relays from.
    pub(super) relayed: SocketAddr,
}

impl Line {
    /// A line over UDP, which is only known to work when an answer comes.
    pub(super) async fn udp(server: SocketAddr) -> Result<Self, TurnError> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        Self::over(Wire::Udp(socket))
    }

    /// A line over TLS, to a server whose certificate the system trusts for that name.
    pub(super) async fn tls(server: SocketAddr, host: &str) -> Result<Self, TurnError> {
        let tls = |error: &dyn std::fmt::Display| TurnError::Tls(error.to_string());
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(&error))?;
        let connected = timeout(ANSWER * TRIES, async {
            let stream = TcpStream::connect(server).await?;
            let connector = TlsConnector::from(Arc::new(config));
            connector.connect(name, stream).await
        });
        let stream = connected.await.map_err(|_| TurnError::Silent)?;
        let stream = stream.map_err(|error| match error.kind() {
            // What rustls says of a certificate comes as an error of the stream.
            io::ErrorKind::InvalidData => tls(&error),
            _ => TurnError::Socket(error),
        })?;
        Self::over(Wire::Tls(Box::new(stream)))
    }

    fn over(wire: Wire) -> Result<Self, TurnError> {
        let crypto = rtc_crypto::default_provider().map_err(malformed)?;
        Ok(Self { wire, crypto })
    }

    /// Whether somebody answers a binding request, with success or with an error. The request is longer
    /// than it has to be: an edge answers strangers with nothing that is longer than what they sent.
    pub(super) async fn is_answered(&mut self) -> Result<(), TurnError> {
        let request = request(BINDING_REQUEST, &[(ATTR_SOFTWARE, b"sluice doctor")])?;
        self.ask(&request).await.map(drop)
    }

    /// Asks where we are, and allocates with the credential.
    pub(super) async fn allocate(
        mut self,
        username: &str,
        password: &str,
    ) -> Result<Allocation, TurnError> {
        let bound = self.ask(&request(BINDING_REQUEST, &[])?).await?;
        let mapped = address(&bound, ATTR_XORMAPPED_ADDRESS)?;
        let allocate = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
        let challenge = self
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
            self.crypto.crypto(),
        )
        .map_err(malformed)?;
        let mut allocation = Allocation {
            line: self,
            identity: [
                (ATTR_USERNAME, username.as_bytes().to_vec()),
                (ATTR_REALM, realm),
                (ATTR_NONCE, nonce),
            ],
            key,
            mapped,
            relayed: mapped,
        };
        let answer = allocation
            .ask(METHOD_ALLOCATE, (ATTR_REQUESTED_TRANSPORT, &UDP))
            .await?;
        if answer.typ.class != CLASS_SUCCESS_RESPONSE {
            return Err(TurnError::Refused(reason(&answer)));
        }
        allocation.relayed = address(&answer, ATTR_XOR_RELAYED_ADDRESS)?;
        Ok(allocation)
    }

    /// The answer to this very request.
    async fn ask(&mut self, request: &Message) -> Result<Message, TurnError> {
        let ours = |bytes: &[u8]| {
            let mut answer = Message::new();
            let read = answer.unmarshal_binary(bytes).is_ok();
            (read && answer.transaction_id == request.transaction_id).then_some(answer)
        };
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buffer = [0; MESSAGE_BYTES_MAX];
                for _ in 0..TRIES {
                    // A port that is closed shows as an error of the next call; it is as silent as
                    // others.
                    let _ = socket.send(&request.raw).await;
                    let answered = timeout(ANSWER, async {
                        loop {
                            let Ok(length) = socket.recv(&mut buffer).await else {
                                std::future::pending().await
                            };
                            if let Some(answer) = ours(&buffer[..length]) {
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
            Wire::Tls(stream) => {
                let answered = timeout(ANSWER * TRIES, async {
                    stream.write_all(&request.raw).await?;
                    stream.flush().await?;
                    loop {
                        if let Some(answer) = ours(&read_message(stream).await?) {
                            return Ok(answer);
                        }
                    }
                });
                answered.await.map_err(|_| TurnError::Silent)?
            }
        }
    }
}

impl Allocation {
    /// Whether packets may be exchanged with a peer.
    pub(super) async fn permits(&mut self, peer: IpAddr) -> Result<bool, TurnError> {
        let address = XorMappedAddress {
            ip: peer,
            port: ANY_PORT,
        };
        let mut carrier = Message::new();
        // The address is told by the transaction it goes with only when it is IPv6.
        carrier.write_header();
        address
            .add_to_as(&mut carrier, ATTR_XOR_PEER_ADDRESS)
            .map_err(malformed)?;
        let value = carrier.get(ATTR_XOR_PEER_ADDRESS).map_err(malformed)?;
        let answer = self
            .ask(METHOD_CREATE_PERMISSION, (ATTR_XOR_PEER_ADDRESS, &value))
            .await?;
        if answer.typ.class == CLASS_SUCCESS_RESPONSE {
            return Ok(true);
        }
        let mut code = ErrorCodeAttribute::default();
        match code.get_from(&answer) {
            Ok(()) if code.code == CODE_FORBIDDEN => Ok(false),
            _ => Err(TurnError::Malformed(reason(&answer))),
        }
    }

    /// Gives it back. A server that does not hear of the end keeps it for ten minutes, which is no harm.
    pub(super) async fn end(mut self) {
        let _ = self.ask(METHOD_REFRESH, (ATTR_LIFETIME, &[0; 4])).await;
    }

    /// The answer to a request with our credential.
    async fn ask(&mut self, method: Method, what: (AttrType, &[u8])) -> Result<Message, TurnError> {
        let mut attributes = vec![what];
        attributes.extend(self.identity.iter().map(|(of, value)| (*of, &value[..])));
        let mut message = request(MessageType::new(method, CLASS_REQUEST), &attributes)?;
        let crypto = self.line.crypto.crypto();
        MessageIntegrity::new_raw_integrity_with_provider(&self.key[..], crypto)
            .add_to(&mut message)
            .map_err(malformed)?;
        self.line.ask(&message).await
    }
}

/// A message from a stream, where its header says how long it is (RFC 8489, section 6.2.2).
async fn read_message(stream: &mut TlsStream<TcpStream>) -> Result<Vec<u8>, TurnError> {
    let mut message = vec![0; HEADER_BYTES];
    stream.read_exact(&mut message).await?;
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    if length > MESSAGE_BYTES_MAX {
        return Err(TurnError::Malformed(format!("{length} bytes")));
    }
    message.resize(HEADER_BYTES + length, 0);
    stream.read_exact(&mut message[HEADER_BYTES..]).await?;
    Ok(message)
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
