//! `sluice pki`: the mesh's own certificate authority, its certificates, and the change of both.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use sluice_meshnet::expiry::{Validity, validities, validities_of};
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::{Credentials, Identity, MeshCa};
use sluice_types::ids::EdgeId;

use crate::process::{failed, start_logs};

const DAY: Duration = Duration::from_secs(86_400);

/// Both authorities' certificates, while one takes the other's place.
const BOTH_FILE: &str = "both.pem";

/// Flags of `sluice pki`.
#[derive(Debug, Args)]
pub(crate) struct PkiArgs {
    #[command(subcommand)]
    command: PkiCommand,
}

#[derive(Debug, Subcommand)]
enum PkiCommand {
    /// Make a new certificate authority.
    Init {
        /// The mesh's name.
        mesh: String,
        /// Where its certificate and key go; keep the key off the mesh's machines.
        #[arg(long, default_value = "mesh-ca")]
        ca: PathBuf,
    },
    /// Issue a certificate to an edge, or to the coordinator.
    Issue {
        /// The edge's id, or `coordinator`.
        name: String,
        /// Where ca.pem, cert.pem and key.pem go.
        out: PathBuf,
        #[command(flatten)]
        by: Issuing,
    },
    /// Issue certificates anew, with new keys, in place of those in these directories.
    Renew {
        /// Directories with ca.pem, cert.pem and key.pem.
        #[arg(required = true)]
        dirs: Vec<PathBuf>,
        #[command(flatten)]
        by: Issuing,
    },
    /// Say when certificates end; end with 1 when one has, or will soon.
    Check {
        /// PEM files, or directories with ca.pem and cert.pem.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// How many days ahead of the end is soon.
        #[arg(long, default_value_t = 14)]
        days: u32,
    },
    /// Make the authority that will take another's place, and both.pem, which trusts both.
    Rotate {
        /// The mesh's name.
        mesh: String,
        /// The authority until now.
        #[arg(long, default_value = "mesh-ca")]
        ca: PathBuf,
        /// Where the new authority and both.pem go.
        #[arg(long, default_value = "mesh-ca-next")]
        next: PathBuf,
    },
}

/// Who issues, and what goes along.
#[derive(Debug, Args)]
struct Issuing {
    /// The authority's directory.
    #[arg(long, default_value = "mesh-ca")]
    ca: PathBuf,
    /// For how many days it is good.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Certificates of authorities that peers may have theirs from, in place of the issuer's own:
    /// both.pem, while one authority takes another's place.
    #[arg(long)]
    trust: Option<PathBuf>,
}

pub(crate) fn run(args: PkiArgs) -> ExitCode {
    start_logs();
    let done = match args.command {
        PkiCommand::Init { mesh, ca } => MeshCa::generate(&mesh)
            .and_then(|authority| authority.save(&ca))
            .map_err(|error| error.to_string()),
        PkiCommand::Issue { name, out, by } => issue(&name, &out, &by),
        PkiCommand::Renew { dirs, by } => dirs.iter().try_for_each(|dir| renew(dir, &by)),
        PkiCommand::Check { paths, days } => {
            let mut out = io::stdout().lock();
            let ahead = DAY * days;
            return match check(&paths, ahead, SystemTime::now(), &mut out) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => failed(&error),
            };
        }
        PkiCommand::Rotate { mesh, ca, next } => rotate(&mesh, &ca, &next),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn issue(name: &str, out: &Path, by: &Issuing) -> Result<(), String> {
    let identity = if name == "coordinator" {
        Identity::Coordinator
    } else {
        Identity::Edge(name.parse::<EdgeId>().map_err(|error| error.to_string())?)
    };
    let issued = by.issue(&identity)?;
    issued.save(out).map_err(|error| error.to_string())
}

/// The certificate that is there says whose the new one is.
fn renew(dir: &Path, by: &Issuing) -> Result<(), String> {
    let before = Credentials::from_files(&CredentialFiles::in_dir(dir))
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let issued = by.issue(before.identity())?;
    issued.replace(dir).map_err(|error| error.to_string())
}

impl Issuing {
    fn issue(&self, identity: &Identity) -> Result<sluice_meshnet::pki::Issued, String> {
        let mut issued = MeshCa::load(&self.ca)
            .and_then(|authority| authority.issue(identity, DAY * self.days))
            .map_err(|error| error.to_string())?;
        if let Some(trust) = &self.trust {
            let bundle = read(trust)?;
            // A file without certificates would let nobody in.
            validities(&bundle).map_err(|error| format!("{}: {error}", trust.display()))?;
            issued.ca_pem = bundle;
        }
        Ok(issued)
    }
}

/// A line for each certificate; `false` when one has ended or ends within `ahead`.
fn check(
    paths: &[PathBuf],
    ahead: Duration,
    now: SystemTime,
    out: &mut dyn io::Write,
) -> Result<bool, String> {
    let mut good = true;
    for path in paths {
        let files = if path.is_dir() {
            let files = CredentialFiles::in_dir(path);
            // An authority's own directory has no certificate but its own.
            [files.ca, files.cert]
                .into_iter()
                .filter(|file| file.is_file())
                .collect()
        } else {
            vec![path.clone()]
        };
        if files.is_empty() {
            return Err(format!("{}: neither ca.pem nor cert.pem", path.display()));
        }
        for file in files {
            let all =
                validities_of(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            for validity in all {
                let left = validity.left(now);
                good &= left.is_some_and(|left| left > ahead) && validity.has_begun(now);
                writeln!(out, "{} {}", file.display(), say(&validity, now))
                    .map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(good)
}

fn say(validity: &Validity, now: SystemTime) -> String {
    let subject = &validity.subject;
    match validity.left(now) {
        _ if !validity.has_begun(now) => format!("({subject}) is not valid yet"),
        None => format!("({subject}) HAS ENDED"),
        Some(left) => format!(
            "({subject}) is good for {} days",
            left.as_secs() / DAY.as_secs()
        ),
    }
}

fn rotate(mesh: &str, ca: &Path, next: &Path) -> Result<(), String> {
    let until_now = MeshCa::load(ca).map_err(|error| error.to_string())?;
    let authority = MeshCa::generate(mesh).map_err(|error| error.to_string())?;
    authority.save(next).map_err(|error| error.to_string())?;
    let both = format!("{}{}", until_now.cert_pem(), authority.cert_pem());
    let path = next.join(BOTH_FILE);
    std::fs::write(&path, both).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use sluice_meshnet::{MeshEndpoint, TransportSettings};

    use super::*;

    const ALPN: &[u8] = b"test";

    fn by(ca: &Path, trust: Option<&Path>) -> Issuing {
        Issuing {
            ca: ca.to_owned(),
            days: 30,
            trust: trust.map(Path::to_owned),
        }
    }

    fn endpoint(dir: &Path) -> MeshEndpoint {
        let credentials =
            Credentials::from_files(&CredentialFiles::in_dir(dir)).expect("credentials");
        let any = "127.0.0.1:0".parse().expect("an address");
        MeshEndpoint::bind(any, credentials, &TransportSettings::control(), &[ALPN]).expect("bound")
    }

    /// Whether two processes that read these directories let each other in, one dialling.
    async fn talk(from: &Path, to: &Path) -> bool {
        let (dialler, server) = (endpoint(from), endpoint(to));
        let address = server.local_address().expect("bound");
        let dialled = async {
            let connection = dialler.connect(address, server.identity(), &[ALPN]).await;
            let Ok(connection) = connection else {
                return false;
            };
            // A refusal of ours comes after the handshake: only an answer proves that we are in.
            let Ok((mut sender, mut receiver)) = connection.open_messages::<u8, u8>().await else {
                return false;
            };
            sender.send(&1).await.is_ok() && matches!(receiver.recv().await, Ok(Some(2)))
        };
        let served = async {
            while let Some(connection) = server.accept().await {
                if let Ok((mut sender, mut receiver)) = connection.accept_messages::<u8, u8>().await
                {
                    let _ = receiver.recv().await;
                    let _ = sender.send(&2).await;
                    let _ = connection.quic().closed().await;
                }
            }
            std::future::pending::<bool>().await
        };
        tokio::select! { in_ = dialled => in_, never = served => never }
    }

    #[tokio::test]
    async fn one_authority_takes_anothers_place_and_nobody_is_ever_shut_out() {
        let work = tempfile::tempdir().expect("a directory");
        let at = |name: &str| work.path().join(name);
        let (old, next, both) = (at("ca"), at("next"), at("next/both.pem"));
        MeshCa::generate("test")
            .and_then(|ca| ca.save(&old))
            .expect("a CA");
        let (a, b) = (at("a"), at("b"));
        issue("paris-1", &a, &by(&old, None)).expect("issued");
        issue("tokyo-1", &b, &by(&old, None)).expect("issued");
        rotate("test", &old, &next).expect("rotated");
        assert!(rotate("test", &old, &next).is_err(), "never overwritten");
        let steps = [
            by(&old, Some(&both)),
            by(&next, Some(&both)),
            by(&next, None),
        ];
        for (number, step) in steps.iter().enumerate() {
            for dir in [&a, &b] {
                renew(dir, step).expect("renewed");
                assert!(talk(&a, &b).await, "step {number}");
                assert!(talk(&b, &a).await, "step {number}");
            }
        }
        // Without the steps between, they are shut out, so the test tells them apart.
        let c = at("c");
        issue("rome-1", &c, &by(&old, None)).expect("issued");
        assert!(!talk(&c, &a).await);
        assert!(!talk(&a, &c).await);
    }

    #[test]
    fn renewed_certificates_are_the_same_names_with_other_keys() {
        let work = tempfile::tempdir().expect("a directory");
        let (ca, dir) = (work.path().join("ca"), work.path().join("paris-1"));
        MeshCa::generate("test")
            .and_then(|authority| authority.save(&ca))
            .expect("a CA");
        issue("paris-1", &dir, &by(&ca, None)).expect("issued");
        let files = CredentialFiles::in_dir(&dir);
        let key = read(&files.key).expect("read");
        assert!(
            issue("paris-1", &dir, &by(&ca, None)).is_err(),
            "never overwritten"
        );
        renew(&dir, &by(&ca, None)).expect("renewed");
        assert_ne!(read(&files.key).expect("read"), key);
        let renewed = Credentials::from_files(&files).expect("credentials");
        assert_eq!(renewed.identity().to_string(), "paris-1");
        let nothing = work.path().join("ca/ca.key");
        assert!(
            renew(&dir, &by(&ca, Some(&nothing))).is_err(),
            "trust in nobody"
        );

        let mut out = Vec::new();
        let now = SystemTime::now();
        let mut good = |ahead, at| check(&[dir.clone(), ca.clone()], ahead, at, &mut out);
        assert_eq!(good(14 * DAY, now), Ok(true));
        assert_eq!(good(31 * DAY, now), Ok(false));
        assert_eq!(good(DAY, now + 31 * DAY), Ok(false));
        let said = String::from_utf8(out).expect("text");
        assert!(said.contains("HAS ENDED"), "{said}");
        assert!(check(&[work.path().to_owned()], DAY, now, &mut io::sink()).is_err());
    }
}
