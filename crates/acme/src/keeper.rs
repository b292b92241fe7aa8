//! Keeps one certificate on disk, from the first one on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::account::{AccountKey, AccountKeyError};
use crate::answer::answer;
use crate::certificate::{Held, write_private};
use crate::client::Asking;
use crate::order::order;
use crate::settings::AcmeConfig;

/// The longest sleep before the clock is looked at again: a machine may be suspended, and its clock
/// set.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// How long after a first failure the next try comes; it doubles with each. Let's Encrypt bears five
/// failures an hour for each name.
const BACKOFF_MIN: Duration = Duration::from_secs(60);

/// The longest time between tries.
const BACKOFF_MAX: Duration = Duration::from_secs(4 * 3_600);

/// Why no certificate is ordered at all.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// There is no account key.
    #[error("the ACME account key: {0}")]
    AccountKey(#[from] AccountKeyError),
    /// The authorities that vouch for the directory cannot be used.
    #[error("the ACME directory's authorities in {path}: {reason}")]
    Ca {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// There is no HTTP client.
    #[error("the HTTP client for ACME: {0}")]
    Client(reqwest::Error),
    /// The authority could not be answered.
    #[error("ACME at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A certificate that is kept, and the listener that proves its names.
pub struct Acme {
    config: AcmeConfig,
    key: AccountKey,
    asking: Asking,
    /// Orders that brought nothing, since the last that did.
    failures: u32,
    _listener: AbortOnDropHandle<()>,
}

impl Acme {
    /// Begins to answer the authority. Nothing is ordered yet. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the account key, the directory's authorities or the listener cannot be used.
    pub fn start(config: AcmeConfig) -> Result<Self, AcmeError> {
        for result in ["issued", "failed"] {
            // Rates see a step only in a series that was there before.
            metrics::counter!("sluice_acme_orders_total", "result" => result).absolute(0);
        }
        let key = AccountKey::open(&config.account_key)?;
        let asking = Asking::new(config.ca.as_deref())?;
        let listener = answer(config.listen, key.thumbprint())?;
        let mut acme = Self {
            config,
            key,
            asking,
            failures: 0,
            _listener: listener,
        };
        acme.failed(0);
        Ok(acme)
    }

    /// Waits until there is a certificate that can be shown, and orders it when there is none: it tries
    /// for ever. Cancel-safe.
    pub async fn first(&mut self) {
        while !self
            .held()
            .is_some_and(|held| held.is_good(SystemTime::now()))
        {
            self.order().await;
        }
    }

    /// Renews the certificate whenever its time has come. The one before stays until then, whatever
    /// fails.
    pub async fn keep(mut self) -> Infallible {
        let spread = chance();
        loop {
            let now = SystemTime::now();
            let due = self
                .held()
                .map_or(now, |held| held.renewal(&self.config.names, spread));
            match due.duration_since(now) {
                Ok(wait) if !wait.is_zero() => sleep(wait.min(LOOK_EVERY)).await,
                _ => self.order().await,
            }
        }
    }

    fn held(&self) -> Option<Held> {
        Held::of(&self.config.certificate())
    }

    /// One order, and a pause when it fails.
    async fn order(&mut self) {
        let error = match self.try_order().await {
            Ok(()) => {
                metrics::counter!("sluice_acme_orders_total", "result" => "issued").increment(1);
                tracing::info!(names = ?self.config.names, "a certificate was issued");
                return self.failed(0);
            }
            Err(error) => error,
        };
        metrics::counter!("sluice_acme_orders_total", "result" => "failed").increment(1);
        let pause = backoff(self.failures, chance());
        tracing::warn!(
            error,
            names = ?self.config.names,
            retry_s = pause.as_secs(),
            "no certificate was issued; the one before stays"
        );
        self.failed(self.failures.saturating_add(1));
        sleep(pause).await;
    }

    async fn try_order(&self) -> Result<(), String> {
        let pem = order(&self.config, &self.key, &self.asking).await;
        let pem = pem.map_err(|error| with_causes(&error))?;
        let now = SystemTime::now();
        let good = Held::read(&pem).is_some_and(|held| {
            // Another would be ordered again at once.
            held.is_good(now) && held.renewal(&self.config.names, 1.0) > now
        });
        if !good {
            return Err("the authority issued a certificate of other names or another time".into());
        }
        let path = self.config.certificate();
        write_private(&path, &pem).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn failed(&mut self, times: u32) {
        self.failures = times;
        metrics::gauge!("sluice_acme_failures").set(times);
    }
}

/// How long to wait after `failures` failures before this one, more or less as `chance` says (0 to 1).
fn backoff(failures: u32, chance: f64) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(BACKOFF_MAX).mul_f64(0.75 + chance / 2.0)
}

/// From 0 to 1; the middle when the system gives no randomness, since it only keeps machines apart.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

/// The error and what it came from: an HTTP client's says little by itself.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(because) = cause {
        let because_said = because.to_string();
        if !said.contains(&because_said) {
            said = format!("{said}: {because_said}");
        }
        cause = because.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_further_and_further_apart_and_never_stop() {
        let minutes = |failures| backoff(failures, 0.5).as_secs() / 60;
        assert_eq!(
            [0, 1, 2, 3, 7, 8, 40, u32::MAX].map(minutes),
            [1, 2, 4, 8, 128, 240, 240, 240]
        );
        let (early, late) = (backoff(0, 0.0).as_secs(), backoff(0, 1.0).as_secs());
        assert_eq!((early, late), (45, 75));
        assert!((0.0..=1.0).contains(&chance()));
    }
}
