//! The key of the account at the authority.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::Key;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use ring::digest::{SHA256, digest};
use rustls::pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;

use crate::certificate::write_private;

/// Why there is no account key.
#[derive(Debug, Error)]
pub enum AccountKeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file has something else.
    #[error("{0}: no private key in PKCS #8 for ECDSA with P-256")]
    Key(String),
    /// None could be made.
    #[error("no key can be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A new account key, PEM: ECDSA with P-256.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_account_key() -> Result<String, AccountKeyError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())
}

/// An account key, and what its holder answers to the authority.
pub(crate) struct AccountKey {
    pkcs8: Vec<u8>,
    thumbprint: String,
}

impl AccountKey {
    /// The key of a file, which is made when it is not there.
    ///
    /// # Errors
    /// When the file cannot be read or written, or has no such key.
    pub(crate) fn open(path: &Path) -> Result<Self, AccountKeyError> {
        let failed = |source| AccountKeyError::File {
            path: path.display().to_string(),
            source,
        };
        let pem = match fs::read_to_string(path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let pem = new_account_key()?;
                write_private(path, &pem).map_err(failed)?;
                tracing::info!(path = %path.display(), "an account key was made");
                pem
            }
            Err(error) => return Err(failed(error)),
        };
        let wrong = || AccountKeyError::Key(path.display().to_string());
        let pair = KeyPair::from_pem(&pem).map_err(|_| wrong())?;
        if pair.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(wrong());
        }
        Ok(Self {
            thumbprint: thumbprint(pair.der_bytes()).ok_or_else(wrong)?,
            pkcs8: pair.serialized_der().to_vec(),
        })
    }

    /// The key's thumbprint (RFC 7638), which goes behind a token in an answer.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The key as the protocol's client takes it.
    pub(crate) fn key(&self) -> Result<(Key, PrivatePkcs8KeyDer<'static>), instant_acme::Error> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.clone());
        Ok((Key::from_pkcs8_der(der.clone_key())?, der))
    }
}

/// Of an uncompressed point (SEC 1): 4, then X and Y of 32 bytes each.
fn thumbprint(point: &[u8]) -> Option<String> {
    let [4, coordinates @ ..] = point else {
        return None;
    };
    let (x, y) = coordinates.split_at_checked(32)?;
    let [x, y] = [x, y].map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
    // Members in the order of their names, without spaces: the digest is over these very bytes.
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    Some(BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("acme/account-key.pem");
        let made = AccountKey::open(&path).expect("made");
        let read = AccountKey::open(&path).expect("read");
        assert_eq!(made.thumbprint(), read.thumbprint());
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_account_key_is_refused_and_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("account-key.pem");
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        for text in ["nonsense".to_owned(), other.serialize_pem()] {
            fs::write(&path, &text).expect("written");
            let said = AccountKey::open(&path).err().expect("refused").to_string();
            assert!(said.contains("P-256"), "{said}");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
    }
}
