//! One order, from asking for it to the certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use thiserror::Error;

use crate::account::AccountKey;
use crate::client::Asking;
use crate::settings::AcmeConfig;

/// How long the authority may take to ask, and once more to sign.
const POLLING: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(150));

/// Why an order brought nothing.
#[derive(Debug, Error)]
pub(crate) enum OrderError {
    /// The authority refused, or cannot be reached.
    #[error(transparent)]
    Authority(#[from] instant_acme::Error),
    /// It wants names to be proven in another way.
    #[error("{0} cannot be proven by HTTP-01 at this authority")]
    NoHttp01(String),
    /// It did not believe.
    #[error("names were not proven: {0}")]
    Unproven(String),
    /// No request for a certificate could be made.
    #[error("no key or request can be made: {0}")]
    Request(#[from] rcgen::Error),
}

/// Orders a certificate of the configured names with a new key: the chain, then the key, PEM.
///
/// # Errors
/// See [`OrderError`].
pub(crate) async fn order(
    config: &AcmeConfig,
    key: &AccountKey,
    asking: &Asking,
) -> Result<String, OrderError> {
    let (signing, der) = key.key()?;
    // It finds the account again that the key has already.
    let (account, _) = Account::builder_with_http(Box::new(asking.clone()))
        .create_from_key((signing, der.into()), config.directory.clone())
        .await?;
    if !config.contact.is_empty() {
        let contact: Vec<_> = config.contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await?;
    }
    let names: Vec<_> = config.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    prove(&mut order).await?;
    if order.poll_ready(&POLLING).await? != OrderStatus::Ready {
        return Err(OrderError::Unproven(what_failed(&mut order).await?));
    }
    let mut params = CertificateParams::new(config.names.clone())?;
    // Names are in its extension alone.
    params.distinguished_name = DistinguishedName::new();
    let pair = KeyPair::generate()?;
    let request = params.serialize_request(&pair)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(format!("{}\n{}", chain.trim_end(), pair.serialize_pem()))
}

/// Tells the authority to ask for each name that it has not been shown lately.
async fn prove(order: &mut Order) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or(OrderError::NoHttp01(name))?;
        challenge.set_ready().await?;
    }
    Ok(())
}

/// What the authority says it met with.
async fn what_failed(order: &mut Order) -> Result<String, OrderError> {
    let mut failures = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let state = authorization.refresh().await?;
        for challenge in &state.challenges {
            if let Some(error) = &challenge.error {
                failures.push(format!("{}: {error}", state.identifier()));
            }
        }
    }
    Ok(failures.join("; "))
}
