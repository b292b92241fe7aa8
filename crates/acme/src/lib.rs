//! Certificates of public names from an ACME authority (RFC 8555): ordered, kept on disk, and renewed
//! in time.
//!
//! Names are proven by HTTP-01 (RFC 8555, section 8.3) on a plain listener of its own: unlike
//! TLS-ALPN-01 it needs nothing to be remembered of an order, so that every machine which has the same
//! account key answers for every other that shares a name with it, wherever the authority comes out.
//!
//! What serves TLS reads [`AcmeConfig::certificate`], which holds the chain and its key and is replaced
//! as a whole, and watches it for changes as it would any file.

mod account;
mod answer;
mod certificate;
mod client;
mod keeper;
mod order;
mod settings;

pub use account::{AccountKeyError, new_account_key};
pub use keeper::{Acme, AcmeError};
pub use settings::{AcmeConfig, AcmeSettings, AcmeSettingsError, CertificateFiles};
