//! The certificate on disk: for which names it is, and when it wants to be renewed.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What has to be known of a certificate to keep it renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its names, sorted.
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Held {
    /// What the first certificate of a PEM text says; none when there is none that can be read.
    pub(crate) fn read(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let alternative = certificate.subject_alternative_name().ok()??;
        let mut names: Vec<_> = alternative
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        let at = |seconds: i64| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            UNIX_EPOCH + Duration::from_secs(seconds)
        };
        Some(Self {
            names,
            not_before: at(certificate.validity().not_before.timestamp()),
            not_after: at(certificate.validity().not_after.timestamp()),
        })
    }

    /// As [`Self::read`], of a file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::read(&fs::read_to_string(path).ok()?)
    }

    /// Whether it can be shown: clients refuse it afterwards.
    pub(crate) fn is_good(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// When it is to be renewed: after two thirds of its time, or up to a thirtieth of it earlier as
    /// `spread` says (0 to 1), so that machines do not all come at once; at once when it is for other
    /// names than `names`, which are sorted.
    pub(crate) fn renewal(&self, names: &[String], spread: f64) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before);
        let life = life.unwrap_or_default();
        if self.names != names {
            return self.not_before;
        }
        self.not_before + life.mul_f64(2.0 / 3.0 - spread.clamp(0.0, 1.0) / 30.0)
    }
}

/// Writes a file that only its owner reads, as a whole or not at all, and the directories above it.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    // It is made with 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn issued(names: &[&str]) -> Held {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Held::read(&pem).expect("read")
    }

    fn days(held: &Held, at: SystemTime) -> f64 {
        let since = at.duration_since(held.not_before).expect("after");
        since.as_secs_f64() / 86_400.0
    }

    #[test]
    fn it_is_renewed_after_two_thirds_of_its_ninety_days_or_a_little_before() {
        let held = issued(&["b.example.org", "a.example.org"]);
        let names = ["a.example.org".to_owned(), "b.example.org".to_owned()];
        assert_eq!(days(&held, held.renewal(&names, 0.0)).round(), 60.0);
        assert_eq!(days(&held, held.renewal(&names, 1.0)).round(), 57.0);
        assert!(held.is_good(held.renewal(&names, 0.0)));
        assert!(!held.is_good(held.not_after));
        assert!(!held.is_good(UNIX_EPOCH));
    }

    #[test]
    fn one_for_other_names_is_replaced_at_once() {
        let held = issued(&["a.example.org"]);
        let more = ["a.example.org".to_owned(), "b.example.org".to_owned()];
        assert_eq!(held.renewal(&more, 0.5), held.not_before);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        assert_eq!(Held::read("nonsense"), None);
        assert_eq!(Held::of(Path::new("/nowhere")), None);
    }
}
