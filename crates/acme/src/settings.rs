//! What may be set. Nothing is asked of any authority unless names are given.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use sluice_types::topology::DnsName;
use thiserror::Error;

/// The most names of one certificate, as Let's Encrypt has it.
const NAMES_MAX: usize = 100;

/// A certificate chain and its private key.
pub type CertificateFiles = (PathBuf, PathBuf);

/// Where certificates of public names come from, in place of files.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default)]
pub struct AcmeSettings {
    /// Public names to get one certificate for by ACME, comma-separated, instead of `tls-cert`
    /// [default: none]
    #[arg(
        id = "acme_names",
        long = "acme-names",
        env = "SLUICE_ACME_NAMES",
        value_delimiter = ','
    )]
    #[serde(rename = "acme_names")]
    pub names: Option<Vec<String>>,
    /// URL of the authority's directory, whose terms are agreed to thereby. Required with names
    #[arg(
        id = "acme_directory",
        long = "acme-directory",
        env = "SLUICE_ACME_DIRECTORY"
    )]
    #[serde(rename = "acme_directory")]
    pub directory: Option<String>,
    /// Where the authority reaches people, such as `mailto:ops@acme.example`, comma-separated
    /// [default: none]
    #[arg(
        id = "acme_contact",
        long = "acme-contact",
        env = "SLUICE_ACME_CONTACT",
        value_delimiter = ','
    )]
    #[serde(rename = "acme_contact")]
    pub contact: Option<Vec<String>>,
    /// Directory that keeps the certificate [default: /var/lib/sluice/acme]
    #[arg(id = "acme_dir", long = "acme-dir", env = "SLUICE_ACME_DIR")]
    #[serde(rename = "acme_dir")]
    pub dir: Option<PathBuf>,
    /// Private key of the account, PEM; made when it is not there. Machines that share a name share it
    /// [default: account-key.pem in acme-dir]
    #[arg(
        id = "acme_account_key",
        long = "acme-account-key",
        env = "SLUICE_ACME_ACCOUNT_KEY"
    )]
    #[serde(rename = "acme_account_key")]
    pub account_key: Option<PathBuf>,
    /// Authorities that vouch for the directory's own certificate, PEM [default: the system's]
    #[arg(id = "acme_ca", long = "acme-ca", env = "SLUICE_ACME_CA")]
    #[serde(rename = "acme_ca")]
    pub ca: Option<PathBuf>,
    /// Where the authority's questions are answered, plain HTTP; it asks at port 80 of each name
    /// [default: 0.0.0.0:80]
    #[arg(id = "acme_listen", long = "acme-listen", env = "SLUICE_ACME_LISTEN")]
    #[serde(rename = "acme_listen")]
    pub listen: Option<SocketAddr>,
}

/// Why settings are of no use.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AcmeSettingsError {
    /// A setting is needed beside another that is given.
    #[error("`{0}` is not set, which is needed beside `{1}`")]
    Missing(&'static str, &'static str),
    /// A setting is not what it may be.
    #[error("`{key} = {value}`; allowed: {allowed}")]
    Value {
        /// Which.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// How one certificate is got, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The names: 1 to 100, lowercase, none twice.
    pub names: Vec<String>,
    /// See [`AcmeSettings::directory`].
    pub directory: String,
    /// See [`AcmeSettings::contact`].
    pub contact: Vec<String>,
    /// See [`AcmeSettings::dir`].
    pub dir: PathBuf,
    /// See [`AcmeSettings::account_key`].
    pub account_key: PathBuf,
    /// See [`AcmeSettings::ca`].
    pub ca: Option<PathBuf>,
    /// See [`AcmeSettings::listen`].
    pub listen: SocketAddr,
}

impl AcmeConfig {
    /// The file with the chain and its private key, PEM.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }
}

impl AcmeSettings {
    /// These settings, and `other` where they say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            names: self.names.or(other.names),
            directory: self.directory.or(other.directory),
            contact: self.contact.or(other.contact),
            dir: self.dir.or(other.dir),
            account_key: self.account_key.or(other.account_key),
            ca: self.ca.or(other.ca),
            listen: self.listen.or(other.listen),
        }
    }

    /// The files of the public certificate and its key, and how they are got, where that is by ACME:
    /// then both are [`AcmeConfig::certificate`]. None of both without any settings.
    ///
    /// # Errors
    /// When there is one file without the other, both come from somewhere else as well, or as of
    /// [`Self::resolve`].
    pub fn or_files(
        self,
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<(Option<CertificateFiles>, Option<AcmeConfig>), AcmeSettingsError> {
        let acme = self.resolve()?;
        let files = match (cert, key, &acme) {
            (None, None, acme) => acme
                .as_ref()
                .map(|acme| (acme.certificate(), acme.certificate())),
            (Some(cert), Some(key), None) => Some((cert, key)),
            (Some(_), None, _) => return Err(AcmeSettingsError::Missing("tls_key", "tls_cert")),
            (None, Some(_), _) => return Err(AcmeSettingsError::Missing("tls_cert", "tls_key")),
            (Some(cert), Some(_), Some(_)) => {
                return Err(AcmeSettingsError::Value {
                    key: "tls_cert",
                    value: cert.display().to_string(),
                    allowed: "none beside acme_names",
                });
            }
        };
        Ok((files, acme))
    }

    /// Fills in defaults and checks; none without names.
    ///
    /// # Errors
    /// When something is missing, malformed, or makes no sense without names.
    pub fn resolve(self) -> Result<Option<AcmeConfig>, AcmeSettingsError> {
        let names = self.names.unwrap_or_default();
        let mut names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            let stray = [
                ("acme_directory", self.directory.is_some()),
                ("acme_contact", self.contact.is_some()),
                ("acme_account_key", self.account_key.is_some()),
                ("acme_ca", self.ca.is_some()),
            ];
            return match stray.into_iter().find(|(_, given)| *given) {
                Some((given, _)) => Err(AcmeSettingsError::Missing("acme_names", given)),
                None => Ok(None),
            };
        }
        let wrong = |key, value: &str, allowed| AcmeSettingsError::Value {
            key,
            value: value.to_owned(),
            allowed,
        };
        if let Some(name) = names.iter().find(|name| !is_public_name(name)) {
            let allowed = "lowercase DNS names, without wildcards, which HTTP-01 cannot prove";
            return Err(wrong("acme_names", name, allowed));
        }
        names.sort_unstable();
        names.dedup();
        if names.len() > NAMES_MAX {
            return Err(wrong("acme_names", &names.join(","), "at most 100 names"));
        }
        let directory = self
            .directory
            .ok_or(AcmeSettingsError::Missing("acme_directory", "acme_names"))?;
        if !directory.starts_with("https://") {
            return Err(wrong("acme_directory", &directory, "an https:// URL"));
        }
        let contact = self.contact.unwrap_or_default();
        if let Some(contact) = contact.iter().find(|contact| !contact.contains(':')) {
            return Err(wrong(
                "acme_contact",
                contact,
                "URLs such as mailto:ops@acme.example",
            ));
        }
        let dir = self.dir.unwrap_or_else(|| "/var/lib/sluice/acme".into());
        Ok(Some(AcmeConfig {
            names,
            directory,
            contact,
            account_key: self
                .account_key
                .unwrap_or_else(|| dir.join("account-key.pem")),
            dir,
            ca: self.ca,
            listen: self
                .listen
                .unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80)),
        }))
    }
}

/// Whether an authority may be asked for it.
fn is_public_name(name: &str) -> bool {
    name.contains('.') && name.parse::<DnsName>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> AcmeSettings {
        toml_edit::de::from_str(
            r#"
            acme_names = ["paris.acme.example", "paris-1.acme.example", "paris.acme.example"]
            acme_directory = "https://authority.example/directory"
            acme_contact = ["mailto:ops@acme.example"]
            "#,
        )
        .expect("good settings")
    }

    #[test]
    fn nothing_is_asked_for_unless_names_are_given() {
        assert_eq!(AcmeSettings::default().resolve(), Ok(None));
        let nameless = AcmeSettings {
            names: None,
            ..given()
        };
        assert_eq!(
            nameless.resolve(),
            Err(AcmeSettingsError::Missing("acme_names", "acme_directory"))
        );
    }

    #[test]
    fn defaults_are_those_of_a_machine() {
        let flags = AcmeSettings {
            listen: Some("127.0.0.1:5002".parse().expect("an address")),
            ..AcmeSettings::default()
        };
        let config = flags.or(given()).resolve().expect("good").expect("names");
        assert_eq!(config.names, ["paris-1.acme.example", "paris.acme.example"]);
        assert_eq!(config.listen.port(), 5002);
        assert_eq!(
            config.account_key,
            PathBuf::from("/var/lib/sluice/acme/account-key.pem")
        );
    }

    #[test]
    fn certificates_come_from_files_or_from_an_authority() {
        let file = |name: &str| Some(PathBuf::from(name));
        let (files, acme) = AcmeSettings::default()
            .or_files(file("cert.pem"), file("key.pem"))
            .expect("good");
        assert_eq!(files, Some(("cert.pem".into(), "key.pem".into())));
        assert_eq!(acme, None);
        let (files, acme) = given().or_files(None, None).expect("good");
        let kept = acme.expect("names").certificate();
        assert_eq!(files, Some((kept.clone(), kept)));
        let both = given().or_files(file("cert.pem"), file("key.pem"));
        assert!(
            both.expect_err("refused")
                .to_string()
                .contains("beside acme_names")
        );
        let half = AcmeSettings::default().or_files(None, file("key.pem"));
        assert_eq!(half, Err(AcmeSettingsError::Missing("tls_cert", "tls_key")));
    }

    #[test]
    fn faults_say_which_and_what_is_allowed() {
        let fault = |change: fn(&mut AcmeSettings)| {
            let mut settings = given();
            change(&mut settings);
            settings.resolve().expect_err("refused").to_string()
        };
        assert!(fault(|it| it.directory = None).contains("`acme_directory` is not set"));
        assert!(fault(|it| it.directory = Some("http://a/".into())).contains("https://"));
        assert!(fault(|it| it.contact = Some(vec!["ops".into()])).contains("mailto:"));
        for name in [
            "*.acme.example",
            "localhost",
            "Acme.example",
            "192.0.2.1",
            "a..b",
            "-a.b",
        ] {
            let settings = AcmeSettings {
                names: Some(vec![name.to_owned()]),
                ..given()
            };
            let said = settings.resolve().expect_err(name).to_string();
            assert!(said.contains("without wildcards"), "{said}");
        }
    }
}
