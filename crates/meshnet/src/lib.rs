//! Mesh transport: QUIC with mutual TLS from the mesh CA, framed control streams, link impairment.
//!
//! A shell library shared by edges, coordinator and command line. Whoever has no certificate of
//! the mesh's own CA is refused in the handshake, before a byte of the application is read.

mod admission;
mod congestion;
pub mod connection;
pub mod endpoint;
pub mod expiry;
mod identity;
pub mod impair;
pub mod pki;
pub mod reload;
mod restart;
pub mod stream;
pub mod tls;
mod transport;

pub use admission::{Admission, Fingerprint, NoFingerprint, Revoked};
pub use connection::MeshConnection;
pub use endpoint::{MeshEndpoint, Renewal};
pub use identity::{Identity, UnknownIdentity};
pub use pki::MeshCa;
pub use stream::{MessageReceiver, MessageSender};
pub use tls::Credentials;
pub use transport::{Congestion, MTU_MIN, TransportSettings};
