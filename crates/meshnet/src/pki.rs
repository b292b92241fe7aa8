//! The mesh's own certificate authority.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use thiserror::Error;

use crate::identity::Identity;
use crate::tls::{Credentials, CredentialsError};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a new CA is valid.
const CA_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far a certificate's start lies before its making, for clocks that are behind.
const BACKDATE: Duration = DAY;

const CA_CERT_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";
const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// The authority that issues the certificates of one mesh.
pub struct MeshCa {
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl MeshCa {
    /// A new authority for the mesh of that name, with an ECDSA P-256 key, valid for ten years.
    ///
    /// # Errors
    /// When there is no randomness, or the name cannot be a certificate's subject.
    pub fn generate(mesh: &str) -> Result<Self, PkiError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = subject(&format!("{mesh} mesh CA"));
        set_validity(&mut params, CA_VALIDITY);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert_pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { cert_pem, issuer })
    }

    /// The authority that [`Self::save`] wrote to `dir`.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it should be.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let cert_pem = read(&dir.join(CA_CERT_FILE))?;
        let key = KeyPair::from_pem(&read(&dir.join(CA_KEY_FILE))?)?;
        let issuer = Issuer::from_ca_cert_pem(&cert_pem, key)?;
        Ok(Self { cert_pem, issuer })
    }

    /// Writes `ca.pem` and `ca.key` to `dir`, readable by their owner only; makes `dir` if need be.
    ///
    /// # Errors
    /// When they cannot be written, or an authority is there already: it is never overwritten.
    pub fn save(&self, dir: &Path) -> Result<(), PkiError> {
        let key = self.issuer.key().serialize_pem();
        write_new(dir, CA_KEY_FILE, &key)?;
        write_new(dir, CA_CERT_FILE, &self.cert_pem)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// A certificate and key for `identity`, as client and server, valid from yesterday on for
    /// `validity` from now.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn issue(&self, identity: &Identity, validity: Duration) -> Result<Issued, PkiError> {
        let mut params = CertificateParams::new(vec![identity.dns_name()])?;
        params.distinguished_name = subject(&identity.to_string());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        set_validity(&mut params, validity);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            ca_pem: self.cert_pem.clone(),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for MeshCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshCa").finish_non_exhaustive()
    }
}

/// What a process of the mesh needs to be let in, as PEM texts.
#[derive(Clone)]
pub struct Issued {
    /// The authority's certificate, which peers must have theirs from.
    pub ca_pem: String,
    /// The process's own certificate.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl Issued {
    /// Writes `ca.pem`, `cert.pem` and `key.pem` to `dir`, readable by their owner only; makes
    /// `dir` if need be.
    ///
    /// # Errors
    /// When they cannot be written, or one of them is there already.
    pub fn save(&self, dir: &Path) -> Result<(), PkiError> {
        write_new(dir, CA_CERT_FILE, &self.ca_pem)?;
        write_new(dir, KEY_FILE, &self.key_pem)?;
        write_new(dir, CERT_FILE, &self.cert_pem)
    }

    /// As [`Self::save`], in place of files that are there: each is whole at any moment, and whoever
    /// reads them meanwhile may see a new key beside an old certificate, so restart processes after.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn replace(&self, dir: &Path) -> Result<(), PkiError> {
        for (name, text) in [
            (CA_CERT_FILE, &self.ca_pem),
            (KEY_FILE, &self.key_pem),
            (CERT_FILE, &self.cert_pem),
        ] {
            let fresh = format!("{name}.new");
            let (from, to) = (dir.join(&fresh), dir.join(name));
            // One that was left over by a run that was cut off.
            let _ = fs::remove_file(&from);
            write_new(dir, &fresh, text)?;
            fs::rename(&from, &to).map_err(|source| PkiError::File { path: to, source })?;
        }
        Ok(())
    }

    /// The same, ready for use.
    ///
    /// # Errors
    /// When one of the texts is not what it should be.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::from_pem(&self.ca_pem, &self.cert_pem, &self.key_pem)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("cert_pem", &self.cert_pem)
            .finish_non_exhaustive()
    }
}

/// Where [`Issued::save`] puts the three files of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The process's own certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CredentialFiles {
    /// The files in `dir`.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            ca: dir.join(CA_CERT_FILE),
            cert: dir.join(CERT_FILE),
            key: dir.join(KEY_FILE),
        }
    }
}

/// Why an authority or a certificate could not be made, read or written.
#[derive(Debug, Error)]
pub enum PkiError {
    /// The key or certificate is at fault.
    #[error("the mesh CA's key or certificate is at fault: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Sluice");
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, validity: Duration) {
    // A clock before 1970 counts as 1970: the certificate is then refused, which says so.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATE);
    params.not_after = epoch + now + validity;
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File {
        path: path.to_owned(),
        source,
    })
}

fn write_new(dir: &Path, name: &str, text: &str) -> Result<(), PkiError> {
    let path = dir.join(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    fs::create_dir_all(dir)
        .and_then(|()| options.open(&path))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| PkiError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> Identity {
        Identity::Edge("paris-1".parse().expect("an edge id"))
    }

    #[test]
    fn a_loaded_authority_issues_like_the_one_saved() {
        let dir = tempfile::tempdir().expect("a directory");
        let ca = MeshCa::generate("test").expect("a CA");
        ca.save(dir.path()).expect("saved");
        let loaded = MeshCa::load(dir.path()).expect("loaded");
        assert_eq!(loaded.cert_pem(), ca.cert_pem());
        let issued = loaded.issue(&edge(), DAY).expect("issued");
        let credentials = issued.credentials().expect("credentials");
        assert_eq!(credentials.identity(), &edge());
        assert!(ca.save(dir.path()).is_err(), "never overwritten");
    }

    #[test]
    fn keys_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let ca = MeshCa::generate("test").expect("a CA");
        let issued = ca.issue(&edge(), DAY).expect("issued");
        issued.save(&dir.path().join("paris-1")).expect("saved");
        let files = CredentialFiles::in_dir(&dir.path().join("paris-1"));
        let mode = fs::metadata(&files.key)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let credentials = Credentials::from_files(&files).expect("credentials");
        assert_eq!(credentials.identity(), &edge());
    }
}
