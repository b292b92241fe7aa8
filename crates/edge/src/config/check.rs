//! What single settings of an edge have to be.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use sluice_guard::AddressRules;
use sluice_trace::Endpoint;

use super::{COORDINATORS_MAX, ConfigError};

pub(super) fn endpoint(text: String) -> Result<Endpoint, ConfigError> {
    text.parse().map_err(|_| ConfigError::Value {
        key: "otlp_endpoint",
        value: text,
        allowed: Endpoint::ALLOWED,
    })
}

pub(super) fn rules(allow: Option<Vec<IpNet>>, deny: Option<Vec<IpNet>>) -> AddressRules {
    AddressRules::new(allow.unwrap_or_default(), deny.unwrap_or_default())
}

pub(super) fn check_coordinators(mut names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    names.retain(|name| !name.is_empty());
    let distinct: BTreeSet<_> = names.iter().collect();
    if names.is_empty() {
        return Err(ConfigError::Missing("coordinator"));
    }
    if distinct.len() < names.len() || names.len() > COORDINATORS_MAX {
        return Err(ConfigError::Value {
            key: "coordinator",
            value: names.join(","),
            allowed: "1 to 9 coordinators, each once",
        });
    }
    Ok(names)
}

/// `"a:7400"`, or `["a:7400", "b:7400"]`.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let given = Option::<OneOrMore>::deserialize(from)?;
    Ok(given.map(|given| match given {
        OneOrMore::One(one) => one.split(',').map(str::to_owned).collect(),
        OneOrMore::More(more) => more,
    }))
}

pub(super) fn within(
    key: &'static str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Value {
        key,
        value: value.to_string(),
        allowed,
    })
}
