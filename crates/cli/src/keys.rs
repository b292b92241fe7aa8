//! `sluice keys`: API keys, the TURN secret, secrets of webhooks, the ACME account's key, and the keys
//! that sign join tokens.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use sluice_coordinator::config::{CoordinatorSettings, EtcdStoreSettings};
use sluice_coordinator::store::{EtcdStore, RedbStore, Store};
use sluice_coordinator::tokens::{key_id, new_signing_key};
use sluice_types::ids::{ApiKeyId, MeetingId, ParticipantId};
use sluice_types::revocation::Revoked;

use crate::ops::{OpsArgs, api_token, give_back, take_back};
use crate::process::{failed, start_logs};

/// Random bytes of a secret: as many as HMAC-SHA-256 can use.
const SECRET_BYTES: usize = 32;

/// Flags of `sluice keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Print a new API key as SLUICE_API_KEYS takes it. Two keys of one tenant may be in use at once.
    Api {
        /// Its public name, the `iss` of tokens.
        id: ApiKeyId,
        /// Whose meetings it is for; the name itself when absent. Name the old key's to rotate it.
        #[arg(long)]
        tenant: Option<String>,
        /// It may look at the whole mesh.
        #[arg(long)]
        ops: bool,
    },
    /// Print a token of an API key, for the live page of the mesh and for trying REST.
    Token {
        /// The API key as KEY:SECRET
        #[arg(
            long,
            env = "SLUICE_API_KEY",
            hide_env_values = true,
            default_value = "devkey:devsecret-devsecret-devsecret-0001"
        )]
        api_key: String,
        /// How long it is good, in minutes, 1 to 1440
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
        minutes: u64,
    },
    /// Take back an API key, or join tokens: from now on every edge refuses them, and removes who came
    /// with them.
    Revoke {
        #[command(subcommand)]
        what: RevokeArgs,
    },
    /// Give back an API key that was revoked by mistake: its tokens, and join tokens that were given for
    /// it, are good again at once.
    Restore {
        /// Its public name.
        id: ApiKeyId,
        #[command(flatten)]
        ops: OpsArgs,
    },
    /// Print a new secret for coturn and the coordinator.
    Turn,
    /// Print a new secret for a webhook.
    Webhook,
    /// Print a new private key for an account at an ACME authority, PEM, as `acme-account-key` names it.
    Acme,
    /// Print the ids of the keys that sign join tokens, the one in use first.
    Show(StoreArgs),
    /// Make a new key that signs join tokens. The one before stays good until the next rotation.
    Rotate(StoreArgs),
}

/// Which store.
#[derive(Debug, Args)]
struct StoreArgs {
    /// The coordinator's file; the coordinator must not run. With etcd coordinators may run, and
    /// follow at once.
    #[arg(required_unless_present = "etcd_endpoints")]
    store: Option<PathBuf>,
    #[command(flatten)]
    etcd: EtcdStoreSettings,
}

#[derive(Debug, Subcommand)]
enum RevokeArgs {
    /// An API key, and what was given for its tokens.
    Key {
        /// Its public name.
        id: ApiKeyId,
        #[command(flatten)]
        ops: OpsArgs,
    },
    /// One join token.
    Token {
        /// Its `jti`.
        id: String,
        #[command(flatten)]
        ops: OpsArgs,
    },
    /// Every join token of one participant.
    Participant {
        /// The meeting.
        meeting: MeetingId,
        /// The participant.
        participant: ParticipantId,
        #[command(flatten)]
        ops: OpsArgs,
    },
    /// Every join token of a meeting until now.
    Meeting {
        /// The meeting.
        id: MeetingId,
        #[command(flatten)]
        ops: OpsArgs,
    },
}

impl RevokeArgs {
    fn run(self) -> Result<(), String> {
        let (what, ops) = match self {
            Self::Key { id, ops } => (Revoked::ApiKey(id), ops),
            Self::Token { id, ops } => (Revoked::Token(id), ops),
            Self::Participant {
                meeting,
                participant,
                ops,
            } => {
                let what = Revoked::Participant {
                    meeting,
                    participant,
                };
                (what, ops)
            }
            Self::Meeting { id, ops } => (Revoked::Meeting(id), ops),
        };
        take_back(&ops, &what, None)
    }
}

pub(crate) fn run(args: KeysArgs) -> ExitCode {
    start_logs();
    let lines = match args.command {
        KeysCommand::Api { id, tenant, ops } => api(&id, tenant.as_deref(), ops),
        KeysCommand::Revoke { what } => return ended(what.run()),
        KeysCommand::Restore { id, ops } => return ended(give_back(&ops, &Revoked::ApiKey(id))),
        KeysCommand::Token { api_key, minutes } => api_token(&api_key, minutes * 60),
        KeysCommand::Turn | KeysCommand::Webhook => secret(),
        KeysCommand::Acme => sluice_acme::new_account_key()
            .map(|pem| pem.trim_end().to_owned())
            .map_err(|error| error.to_string()),
        KeysCommand::Show(store) => with(store, ids),
        KeysCommand::Rotate(store) => with(store, rotate),
    };
    let written = lines.and_then(|text| {
        writeln!(io::stdout().lock(), "{text}").map_err(|error| error.to_string())
    });
    ended(written)
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn secret() -> Result<String, String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// `ID:SECRET[:TENANT[:ops]]`.
fn api(id: &ApiKeyId, tenant: Option<&str>, ops: bool) -> Result<String, String> {
    let tenant = tenant.unwrap_or_default();
    if tenant.contains([':', ',']) {
        return Err(format!(
            "tenant `{tenant}`; allowed: without `:` and `,`, which part keys in SLUICE_API_KEYS"
        ));
    }
    let secret = secret()?;
    Ok(match (tenant, ops) {
        ("", false) => format!("{id}:{secret}"),
        (tenant, false) => format!("{id}:{secret}:{tenant}"),
        (tenant, true) => format!("{id}:{secret}:{tenant}:ops"),
    })
}

/// Opens a store that is there: to make an empty one would hide a wrong path.
fn open(path: &Path) -> Result<RedbStore, String> {
    if !path.is_file() {
        return Err(format!("{}: there is no such file", path.display()));
    }
    RedbStore::open(path)
        .map_err(|error| format!("{}: {error}; is the coordinator stopped?", path.display()))
}

/// Does something with the store that is meant.
fn with(
    args: StoreArgs,
    what: impl FnOnce(&dyn Store) -> Result<String, String> + Send + 'static,
) -> Result<String, String> {
    let secrets = CoordinatorSettings::secrets_from_env().map_err(|error| error.to_string())?;
    let etcd = EtcdStoreSettings {
        password: secrets.etcd.password,
        ..args.etcd
    };
    let etcd = etcd.resolve().map_err(|error| error.to_string())?;
    match (args.store, etcd) {
        (Some(path), None) => what(&open(&path)?),
        (None, Some(settings)) => {
            let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
            let store = runtime.block_on(EtcdStore::connect(&settings));
            let store = store.map_err(|error| error.to_string())?;
            what(&store)
        }
        _ => Err("name a file or etcd's endpoints, and not both".to_owned()),
    }
}

fn ids(store: &dyn Store) -> Result<String, String> {
    let keys = store.signing_keys().map_err(|error| error.to_string())?;
    let names = ["signs", "still good"];
    let lines: Result<Vec<_>, String> = keys
        .iter()
        .zip(names)
        .map(|(key, name)| {
            let id = key_id(key).map_err(|error| error.to_string())?;
            Ok(format!("{id} {name}"))
        })
        .collect();
    let lines = lines?;
    if lines.is_empty() {
        return Ok("none yet: the coordinator makes one when it starts".to_owned());
    }
    Ok(lines.join("\n"))
}

fn rotate(store: &dyn Store) -> Result<String, String> {
    let key = new_signing_key();
    // Without randomness the key is empty; it must not take the place of a good one.
    key_id(&key).map_err(|error| error.to_string())?;
    store
        .rotate_signing_key(&key)
        .map_err(|error| error.to_string())?;
    ids(store)
}

#[cfg(test)]
mod tests {
    use sluice_coordinator::config::ApiKey;

    use super::*;

    #[test]
    fn keys_are_as_the_coordinator_reads_them() {
        let id: ApiKeyId = "product".parse().expect("an id");
        for (tenant, ops) in [
            (None, false),
            (Some("acme"), false),
            (Some("acme"), true),
            (None, true),
        ] {
            let text = api(&id, tenant, ops).expect("a key");
            let key: ApiKey = text.parse().expect("read");
            assert_eq!(
                (key.id, key.tenant.as_deref(), key.ops),
                (id.clone(), tenant, ops)
            );
            assert!(
                key.secret.len() >= 32,
                "the coordinator refuses shorter ones"
            );
        }
        assert!(api(&id, Some("a:b"), false).is_err());
        assert_ne!(secret(), secret());
    }

    #[test]
    fn two_signing_keys_are_good_and_never_three() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store.redb");
        let at = |path: &Path| StoreArgs {
            store: Some(path.to_owned()),
            etcd: EtcdStoreSettings::default(),
        };
        let (show, rotate) = (|path| with(at(path), ids), |path| with(at(path), rotate));
        assert!(rotate(&path).is_err(), "no store is made by mistake");
        drop(RedbStore::open(&path).expect("a store"));
        let first = rotate(&path).expect("rotated");
        assert_eq!(first.lines().count(), 1, "{first}");
        let second = rotate(&path).expect("rotated");
        let id = |text: &str, line: usize| {
            let line = text.lines().nth(line).expect("a line");
            line.split(' ').next().expect("an id").to_owned()
        };
        assert_eq!(id(&second, 1), id(&first, 0));
        let third = rotate(&path).expect("rotated");
        assert_eq!(id(&third, 1), id(&second, 0));
        assert_eq!(third.lines().count(), 2);
        assert_eq!(show(&path).expect("shown"), third);
    }
}
