//! How long certificates are good, for metrics, `sluice pki check` and `sluice doctor`.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// From when to when a certificate is good, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Its subject, as people read it.
    pub subject: String,
    /// The first second in which it is good, since 1970.
    pub not_before_s: i64,
    /// The last second in which it is good, since 1970.
    pub not_after_s: i64,
}

impl Validity {
    /// How long it is still good; `None` when it has expired.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        let left = self.not_after_s - unix_s(now);
        u64::try_from(left).ok().map(Duration::from_secs)
    }

    /// Whether its time has come.
    #[must_use]
    pub fn has_begun(&self, now: SystemTime) -> bool {
        self.not_before_s <= unix_s(now)
    }
}

/// Why nothing can be said of certificates.
#[derive(Debug, Error)]
pub enum ExpiryError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not PEM, or has no certificate.
    #[error("no certificate in PEM")]
    NoCertificate,
    /// A certificate does not parse.
    #[error("a certificate does not parse: {0}")]
    Certificate(String),
}

/// When each certificate of a PEM text begins and ends, in the text's order.
///
/// # Errors
/// When the text has none, or one that does not parse.
pub fn validities(pem: &str) -> Result<Vec<Validity>, ExpiryError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ExpiryError::NoCertificate)?;
    if certificates.is_empty() {
        return Err(ExpiryError::NoCertificate);
    }
    certificates.iter().map(validity).collect()
}

/// As [`validities`], of a file.
///
/// # Errors
/// When it cannot be read, or as there.
pub fn validities_of(path: &Path) -> Result<Vec<Validity>, ExpiryError> {
    let text = fs::read_to_string(path).map_err(|source| ExpiryError::File {
        path: path.display().to_string(),
        source,
    })?;
    validities(&text)
}

/// When the first certificate of a chain to end ends, in seconds since 1970: with it the whole is
/// of no use any more.
///
/// # Errors
/// As [`validities_of`].
pub fn first_end_s(path: &Path) -> Result<i64, ExpiryError> {
    let all = validities_of(path)?;
    all.iter()
        .map(|validity| validity.not_after_s)
        .min()
        .ok_or(ExpiryError::NoCertificate)
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, ExpiryError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| ExpiryError::Certificate(error.to_string()))?;
    Ok(Validity {
        subject: parsed.subject().to_string(),
        not_before_s: parsed.validity().not_before.timestamp(),
        not_after_s: parsed.validity().not_after.timestamp(),
    })
}

fn unix_s(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, MeshCa};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_certificate_ends_when_it_was_told_to() {
        let ca = MeshCa::generate("test").expect("a CA");
        let edge = Identity::Edge("paris-1".parse().expect("an edge"));
        let issued = ca.issue(&edge, HOUR).expect("issued");
        let read = validities(&issued.cert_pem).expect("one");
        let now = SystemTime::now();
        assert!(read[0].has_begun(now));
        let left = read[0].left(now).expect("still good");
        assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
        assert_eq!(read[0].left(now + 2 * HOUR), None);
        let both = format!("{}{}", issued.ca_pem, issued.cert_pem);
        assert_eq!(validities(&both).expect("two").len(), 2);
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        assert!(matches!(
            validities("nonsense"),
            Err(ExpiryError::NoCertificate)
        ));
        assert!(validities_of(Path::new("/nowhere/cert.pem")).is_err());
    }
}
