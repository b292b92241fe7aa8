//! Reads `topology.toml`. What concerns other files is left to `check`.

use std::ops::Range;

use super::certificates::{self, AcmeDraft};
use super::fault::{FaultKind, Source};
use super::link::{Loss, Price};
use super::reader::{Field, Reader, Section, Spanned};
use super::rules::{self, RulesDraft};
use super::settings::{Policy, Stretch};
use crate::ids::RegionName;
use crate::units::{Bitrate, Millis};

/// What `topology.toml` says. Where a value is at fault its default stands in.
pub(super) struct MeshDraft {
    pub(super) name: Option<String>,
    pub(super) order: Vec<Spanned<RegionName>>,
    pub(super) policy: Policy,
    pub(super) rules: RulesDraft,
    /// Where the hop limit is written, or where it would be.
    pub(super) hops_max_at: Range<usize>,
    pub(super) coordinator: CoordinatorDraft,
    pub(super) acme: AcmeDraft,
    pub(super) links: Vec<LinkDraft>,
}

pub(super) struct CoordinatorDraft {
    pub(super) public_url: String,
    pub(super) heartbeat: Millis,
    pub(super) silent_after: Millis,
    pub(super) fallback_region: Option<Spanned<RegionName>>,
    pub(super) join_token_s: u32,
    pub(super) turn_credential_s: u32,
    pub(super) candidates: u32,
    pub(super) trusted_proxies: Vec<ipnet::IpNet>,
    /// Where the file chooses ACME for it, if it does.
    pub(super) acme_at: Option<Range<usize>>,
}

pub(super) struct LinkDraft {
    pub(super) path: String,
    /// Both ends, when both are names.
    pub(super) ends: Option<[Spanned<RegionName>; 2]>,
    pub(super) round_trip: Option<Millis>,
    pub(super) capacity: Option<Bitrate>,
    pub(super) price: [Price; 2],
    pub(super) loss: Loss,
}

pub(super) fn read(source: Source<'_>) -> (Reader<'_>, Option<MeshDraft>) {
    let mut reader = Reader::new(source);
    let draft = reader.document().map(|document| {
        let mut root = Section::root(&document);
        let draft = read_root(&mut reader, &mut root);
        root.finish(&mut reader);
        draft
    });
    (reader, draft)
}

fn read_root(reader: &mut Reader<'_>, root: &mut Section<'_>) -> MeshDraft {
    let name = root
        .need(reader, "name", NAME_ALLOWED)
        .and_then(|field| field.parsed::<RegionName>(reader, NAME_ALLOWED))
        .map(|name| name.value.to_string());
    let order = root
        .need(reader, "regions", ORDER_ALLOWED)
        .map_or_else(Vec::new, |field| {
            let names = field.elements(reader, ORDER_ALLOWED);
            if names.is_empty() {
                field.invalid(reader, "the mesh has no region", ORDER_ALLOWED);
            }
            names
                .iter()
                .filter_map(|name| name.parsed(reader, NAME_ALLOWED))
                .collect()
        });
    let (policy, hops_max_at, rules) = read_policy(reader, root);
    let coordinator = read_coordinator(reader, root);
    let acme = certificates::read_acme(reader, root);
    let links = root.find("link").map_or_else(Vec::new, |field| {
        let links = field.elements(reader, LINK_ALLOWED);
        links
            .iter()
            .filter_map(|link| read_link(reader, link, &order))
            .collect()
    });
    MeshDraft {
        name,
        order,
        policy,
        rules,
        hops_max_at,
        coordinator,
        acme,
        links,
    }
}

fn read_policy(
    reader: &mut Reader<'_>,
    root: &mut Section<'_>,
) -> (Policy, Range<usize>, RulesDraft) {
    let mut policy = Policy::default();
    let Some(mut section) = root
        .find("policy")
        .and_then(|field| field.section(reader, "a table `[policy]`"))
    else {
        return (policy, 0..0, RulesDraft::default());
    };
    let mut hops_max_at = section.at().clone();
    if let Some(stretch) = section
        .find("latency_stretch")
        .and_then(|field| field.decimal(reader, 1.0..=Stretch::FACTOR_MAX, ""))
        .and_then(Stretch::factor)
    {
        policy.latency_stretch = stretch;
    }
    policy.fan_out_max = integer(
        reader,
        &mut section,
        "fan_out_max",
        1..=64,
        "edges",
        policy.fan_out_max,
    );
    if let Some(field) = section.find("hops_max") {
        policy.hops_max = field
            .integer(reader, 1..=16, "links")
            .unwrap_or(policy.hops_max);
        hops_max_at = field.at;
    }
    let mtu = u32::from(policy.initial_mtu_bytes);
    let mtu = integer(
        reader,
        &mut section,
        "initial_mtu_bytes",
        1_200..=9_000,
        "bytes",
        mtu,
    );
    policy.initial_mtu_bytes = u16::try_from(mtu).unwrap_or(policy.initial_mtu_bytes);
    let rules = rules::read(reader, &mut section);
    section.finish(reader);
    (policy, hops_max_at, rules)
}

fn read_coordinator(reader: &mut Reader<'_>, root: &mut Section<'_>) -> CoordinatorDraft {
    let mut draft = CoordinatorDraft::default();
    let Some(mut section) = root
        .find("coordinator")
        .and_then(|field| field.section(reader, "a table `[coordinator]`"))
    else {
        return draft;
    };
    if let Some(url) = section
        .find("public_url")
        .and_then(|field| read_url(reader, &field))
    {
        draft.public_url = url;
    }
    let heartbeat = draft.heartbeat.0;
    draft.heartbeat = Millis(integer(
        reader,
        &mut section,
        "heartbeat_ms",
        100..=60_000,
        "ms",
        heartbeat,
    ));
    // An edge may be late once; its silence is only certain after the second heartbeat.
    let silent_min = draft.heartbeat.0 * 2;
    let silent = draft.silent_after.0.max(silent_min);
    let silent_range = silent_min..=600_000;
    draft.silent_after = Millis(integer(
        reader,
        &mut section,
        "silent_after_ms",
        silent_range,
        "ms",
        silent,
    ));
    draft.fallback_region = section
        .find("fallback_region")
        .and_then(|field| field.parsed(reader, "the name of one of the regions"));
    let token = draft.join_token_s;
    draft.join_token_s = integer(
        reader,
        &mut section,
        "join_token_s",
        30..=3_600,
        "seconds",
        token,
    );
    let credential = draft.turn_credential_s;
    draft.turn_credential_s = integer(
        reader,
        &mut section,
        "turn_credential_s",
        300..=86_400,
        "seconds",
        credential,
    );
    draft.candidates = integer(
        reader,
        &mut section,
        "candidates",
        0..=8,
        "edges",
        draft.candidates,
    );
    if let Some(field) = section.find("trusted_proxies") {
        let networks = field.elements(reader, "an array of networks");
        let network = |field: &Field<'_>| Some(field.parsed(reader, NETWORK_ALLOWED)?.value);
        draft.trusted_proxies = networks.iter().filter_map(network).collect();
    }
    draft.acme_at = certificates::read(reader, &mut section);
    section.finish(reader);
    draft
}

impl Default for CoordinatorDraft {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:7400".to_owned(),
            heartbeat: Millis(1_000),
            silent_after: Millis(3_000),
            fallback_region: None,
            join_token_s: 300,
            turn_credential_s: 43_200,
            candidates: 3,
            trusted_proxies: Vec::new(),
            acme_at: None,
        }
    }
}

/// An origin: scheme, host and perhaps a port, and nothing that a path could be glued to wrongly.
fn read_url(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = field.text(reader, URL_ALLOWED)?;
    let authority = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let (host, port) = authority.map_or(("", None), |authority| match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    });
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_is_valid = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            host.parse::<std::net::Ipv4Addr>().is_ok() || host.parse::<super::DnsName>().is_ok()
        }
    };
    let port_is_valid = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host_is_valid && port_is_valid {
        return Some(text.to_owned());
    }
    field.invalid(reader, "the value is not an origin", URL_ALLOWED);
    None
}

fn read_link(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    order: &[Spanned<RegionName>],
) -> Option<LinkDraft> {
    let mut section = field.section(reader, LINK_ALLOWED)?;
    let ends = section
        .need(reader, "ends", ENDS_ALLOWED)
        .and_then(|field| read_ends(reader, &field));
    // A misspelt end is one fault; that the prices' senders do not fit it is none.
    let is_listed =
        |end: &Spanned<RegionName>| order.iter().any(|region| region.value == end.value);
    let senders = ends.as_ref().filter(|ends| ends.iter().all(is_listed));
    let round_trip = section
        .need(reader, "round_trip_ms", "an integer from 1 to 2000 ms")
        .and_then(|field| field.integer(reader, 1..=2_000, "ms"))
        .map(Millis);
    let capacity = section
        .need(
            reader,
            "capacity_mbps",
            "an integer from 1 to 1000000 Mbit/s",
        )
        .and_then(|field| field.integer(reader, 1..=1_000_000, "Mbit/s"))
        .map(|mbps| Bitrate::mbps(u64::from(mbps)));
    let price = section
        .need(reader, "cost_per_gb", PRICE_ALLOWED)
        .and_then(|field| read_price(reader, &field, senders))
        .unwrap_or_default();
    let loss = section
        .find("loss")
        .and_then(|field| field.decimal(reader, 0.0..=Loss::FRACTION_MAX, "(0.01 is 1 %)"))
        .and_then(Loss::fraction)
        .unwrap_or_default();
    section.finish(reader);
    Some(LinkDraft {
        path: field.path.clone(),
        ends,
        round_trip,
        capacity,
        price,
        loss,
    })
}

fn read_ends(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<[Spanned<RegionName>; 2]> {
    let elements = field.elements(reader, ENDS_ALLOWED);
    if elements.len() != 2 {
        if field.is_array() {
            field.invalid(reader, "a link has two ends", ENDS_ALLOWED);
        }
        return None;
    }
    let names: Vec<_> = elements
        .iter()
        .filter_map(|end| end.parsed(reader, NAME_ALLOWED))
        .collect();
    names.try_into().ok()
}

/// One price for both directions, or one for each end that sends.
fn read_price(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    ends: Option<&[Spanned<RegionName>; 2]>,
) -> Option<[Price; 2]> {
    let usd = |field: &Field<'_>, reader: &mut Reader<'_>| {
        let range = 0.0..=Price::USD_PER_GB_MAX;
        field
            .decimal(reader, range, "USD per GB")
            .and_then(Price::usd_per_gb)
    };
    if field.is_number() {
        return usd(field, reader).map(|price| [price, price]);
    }
    let section = field.section(reader, PRICE_ALLOWED)?;
    let mut prices = [None, None];
    for (sender, entry) in section.entries() {
        let price = usd(&entry, reader);
        // Without sound ends nothing can be said about the senders.
        let Some(ends) = ends else { continue };
        match ends.iter().position(|end| end.value.as_str() == sender) {
            Some(end) => prices[end] = Some(price.unwrap_or_default()),
            None => {
                let problem = format!("`{sender}` is not at an end of this link");
                let allowed = format!("{} and {}", ends[0].value, ends[1].value);
                reader.fault(
                    &entry.at,
                    FaultKind::UnknownKey,
                    &entry.path,
                    problem,
                    allowed,
                );
            }
        }
    }
    let ends = ends?;
    for (price, end) in prices.iter().zip(ends) {
        if price.is_none() {
            let problem = format!("the price of what {} sends is missing", end.value);
            let path = section.path(end.value.as_str());
            reader.fault(
                &field.at,
                FaultKind::MissingKey,
                &path,
                problem,
                PRICE_ALLOWED,
            );
        }
    }
    Some(prices.map(Option::unwrap_or_default))
}

/// An optional whole number, its default when it is absent or at fault.
pub(super) fn integer(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u32>,
    unit: &str,
    default: u32,
) -> u32 {
    let field = section.find(key);
    field
        .and_then(|field| field.integer(reader, range, unit))
        .unwrap_or(default)
}

const NAME_ALLOWED: &str = "a string of 1 to 40 of a-z, 0-9 and inner hyphens";
const ORDER_ALLOWED: &str = "an array of at least one region name, such as [\"paris\", \"tokyo\"]";
const LINK_ALLOWED: &str = "tables `[[link]]`";
const ENDS_ALLOWED: &str = "an array of two region names";
const NETWORK_ALLOWED: &str = "a network such as \"10.0.0.0/8\" or \"fd00::/8\"";
const URL_ALLOWED: &str =
    "`http://` or `https://`, a lowercase host and perhaps a port, and no path";
const PRICE_ALLOWED: &str =
    "USD per GB from 0 to 100, one for both directions or { REGION = USD, … } by sender";
