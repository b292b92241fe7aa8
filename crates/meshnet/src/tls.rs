//! Mutual TLS 1.3 against the mesh's own CA, and nobody else's.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, fs, io};

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use ring::hmac;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use crate::identity::{Identity, UnknownIdentity};
use crate::pki::CredentialFiles;

/// A process's certificate and key, and the CA that its peers must have theirs from.
pub struct Credentials {
    identity: Identity,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads three PEM texts: the CA's certificate, the process's certificate and its key.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn from_pem(ca: &str, cert: &str, key: &str) -> Result<Self, CredentialsError> {
        let certificates = |what, text: &str| {
            CertificateDer::pem_slice_iter(text.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| CredentialsError::Pem { what, source })
        };
        let mut roots = RootCertStore::empty();
        for root in certificates("CA certificate", ca)? {
            roots.add(root)?;
        }
        let chain = certificates("certificate", cert)?;
        let leaf = chain.first().ok_or(CredentialsError::NoCertificate)?;
        let identity = identity_of(leaf)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|source| {
            CredentialsError::Pem {
                what: "private key",
                source,
            }
        })?;
        let roots = Arc::new(roots);
        Ok(Self {
            identity,
            roots,
            chain,
            key,
        })
    }

    /// Reads the three files.
    ///
    /// # Errors
    /// When one of them cannot be read or is not what it should be.
    pub fn from_files(files: &CredentialFiles) -> Result<Self, CredentialsError> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|source| CredentialsError::File {
                path: path.clone(),
                source,
            })
        };
        Self::from_pem(&read(&files.ca)?, &read(&files.cert)?, &read(&files.key)?)
    }

    /// Whom the certificate speaks for.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The accepting side: asks every client for a certificate of the CA.
    pub(crate) fn server(&self, alpn: &[&[u8]]) -> Result<QuicServerConfig, CredentialsError> {
        let provider = provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(&provider),
        )
        .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(QuicServerConfig::try_from(config)?)
    }

    /// The dialling side: shows the certificate, and wants the server to be whom it dials.
    pub(crate) fn client(&self, alpn: &[&[u8]]) -> Result<QuicClientConfig, CredentialsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(QuicClientConfig::try_from(config)?)
    }

    /// A key for `purpose`, the same after a restart and known to no other process.
    pub(crate) fn derived_key(&self, purpose: &str) -> hmac::Key {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.key.secret_der());
        let derived = hmac::sign(&secret, purpose.as_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The identity in a certificate, which must have been verified before.
///
/// # Errors
/// When it is no certificate, or does not have exactly one name that is an identity's.
pub fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, CredentialsError> {
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| CredentialsError::Certificate(error.to_string()))?;
    let mut names = parsed.valid_dns_names();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(Identity::from_dns_name(name)?),
        (first, _) => Err(CredentialsError::Names {
            names: first.map_or(0, |_| parsed.valid_dns_names().count()),
        }),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Why credentials are of no use.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A text is not PEM of the wanted kind.
    #[error("the {what} is not in PEM: {source}")]
    Pem {
        /// Which text.
        what: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate's text has no certificate.
    #[error("no certificate in PEM; one is needed")]
    NoCertificate,
    /// The certificate does not parse.
    #[error("the certificate does not parse: {0}")]
    Certificate(String),
    /// The certificate has too few or too many names.
    #[error("the certificate has {names} DNS names; exactly one is needed")]
    Names {
        /// How many.
        names: usize,
    },
    /// The certificate's name is nobody's.
    #[error("the certificate is nobody's in a mesh: {0}")]
    Identity(#[from] UnknownIdentity),
    /// TLS refuses them.
    #[error("TLS refuses the credentials: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS refuses the CA.
    #[error("TLS refuses the CA: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// TLS has no cipher suite for QUIC's first packets.
    #[error("no cipher suite for QUIC: {0}")]
    Quic(#[from] NoInitialCipherSuite),
}
