//! Reads one `regions/NAME.toml`. What concerns other files is left to `check`.

use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};

use super::certificates;
use super::fault::{FaultKind, Source};
use super::host::{DNS_NAME_ALLOWED, DnsName, Host};
use super::position::Position;
use super::read_cloud;
use super::read_edges::{self, EdgeDefaults, EdgeDraft};
use super::read_mesh::integer;
use super::reader::{Field, Reader, Section, Spanned};
use super::region::{Region, Turn};
use crate::ids::RegionName;

/// What one region's file says.
pub(super) struct RegionDraft {
    /// The stem of the file, when it is a name. The region exists even when its file is at fault,
    /// so that links to it are not reported as well.
    pub(super) name: Option<RegionName>,
    pub(super) region: Option<Region>,
    pub(super) dns: Vec<Spanned<DnsName>>,
    pub(super) edges: Vec<EdgeDraft>,
    /// Where the file chooses ACME, if it does.
    pub(super) acme_at: Option<Range<usize>>,
}

pub(super) fn read(source: Source<'_>) -> (Reader<'_>, RegionDraft) {
    let mut reader = Reader::new(source);
    let stem = source.stem();
    let name = stem.parse::<RegionName>().ok();
    if name.is_none() {
        let problem = format!("the file's name makes `{stem}` the region's name");
        let allowed = "1 to 40 of a-z, 0-9 and inner hyphens before `.toml`";
        reader.fault(&(0..0), FaultKind::InvalidValue, "", problem, allowed);
    }
    let mut draft = RegionDraft {
        name,
        region: None,
        dns: Vec::new(),
        edges: Vec::new(),
        acme_at: None,
    };
    if let Some(document) = reader.document() {
        let mut root = Section::root(&document);
        read_root(&mut reader, &mut root, &mut draft);
        root.finish(&mut reader);
    }
    (reader, draft)
}

fn read_root(reader: &mut Reader<'_>, root: &mut Section<'_>, draft: &mut RegionDraft) {
    let display_name = root
        .need(reader, "display_name", DISPLAY_NAME_ALLOWED)
        .and_then(|field| read_display_name(reader, &field));
    let latitude = root
        .need(reader, "latitude", "a number from -90 to 90 degrees north")
        .and_then(|field| field.decimal(reader, -90.0..=90.0, "degrees north"));
    let longitude = root
        .need(
            reader,
            "longitude",
            "a number from -180 to 180 degrees east",
        )
        .and_then(|field| field.decimal(reader, -180.0..=180.0, "degrees east"));
    draft.dns = root
        .need(reader, "dns", DNS_ALLOWED)
        .map_or_else(Vec::new, |field| {
            let names = field.elements(reader, DNS_ALLOWED);
            if names.is_empty() && field.is_array() {
                field.invalid(reader, "the region has no DNS name", DNS_ALLOWED);
            }
            names
                .iter()
                .filter_map(|name| name.parsed(reader, DNS_NAME_ALLOWED))
                .collect()
        });
    let dev_client = root
        .find("dev_client")
        .and_then(|field| field.parsed::<Ipv4Addr>(reader, "an IPv4 address in a string"))
        .map(|address| address.value);
    let workers = integer(reader, root, "workers", WORKERS, "threads", 2);
    let defaults = EdgeDefaults {
        workers: u16::try_from(workers).unwrap_or(1),
        capacity: integer(reader, root, "capacity", CAPACITY, "participants", 500),
        ports: read_edges::read_ports(reader, root, workers),
    };
    if let Some(field) = root.need(reader, "edges", read_edges::ALLOWED) {
        draft.edges = read_edges::read(reader, &field, draft, &defaults);
    }
    draft.acme_at = certificates::read(reader, root);
    let turn = read_turn(reader, root);
    let cloud = read_cloud::read(reader, root);
    draft.region = build(
        draft,
        display_name,
        latitude.zip(longitude),
        dev_client,
        turn,
    )
    .map(|region| Region { cloud, ..region });
}

fn build(
    draft: &RegionDraft,
    display_name: Option<String>,
    coordinates: Option<(f64, f64)>,
    dev_client: Option<Ipv4Addr>,
    turn: Option<Turn>,
) -> Option<Region> {
    let (latitude, longitude) = coordinates?;
    if draft.edges.is_empty() || draft.dns.is_empty() {
        return None;
    }
    Some(Region {
        name: draft.name.clone()?,
        display_name: display_name?,
        position: Position::new(latitude, longitude).ok()?,
        dns: draft.dns.iter().map(|name| name.value.clone()).collect(),
        dev_client,
        edges: draft.edges.iter().map(|draft| draft.edge.clone()).collect(),
        turn,
        cloud: None,
        certificates: certificates::chosen(draft.acme_at.as_ref()),
    })
}

fn read_display_name(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = field.text(reader, DISPLAY_NAME_ALLOWED)?;
    let length_is_valid = (1..=64).contains(&text.chars().count());
    if length_is_valid && text.trim() == text && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    field.invalid(reader, "the value is malformed", DISPLAY_NAME_ALLOWED);
    None
}

pub(super) fn clash(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &'static str,
    problem: &str,
    allowed: &str,
) {
    // The port may be a default, and then only the table can be pointed at.
    let at = section
        .peek(key)
        .map_or_else(|| section.at().clone(), |field| field.at);
    reader.fault(
        &at,
        FaultKind::InvalidValue,
        &section.path(key),
        problem,
        allowed,
    );
}

pub(super) fn port(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    default: u16,
) -> u16 {
    let value = integer(
        reader,
        section,
        key,
        1..=65_535,
        "as a port",
        u32::from(default),
    );
    u16::try_from(value).unwrap_or(default)
}

/// The fixed public address of a machine, if it is known beforehand.
pub(super) fn address(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Ipv4Addr> {
    section
        .find("address")
        .and_then(|field| field.parsed::<Ipv4Addr>(reader, "an IPv4 address in a string"))
        .map(|address| address.value)
}

fn read_turn(reader: &mut Reader<'_>, root: &mut Section<'_>) -> Option<Turn> {
    let field = root.find("turn")?;
    let mut section = field.section(reader, "a table `[turn]`")?;
    let host = section
        .need(reader, "host", HOST_ALLOWED)
        .and_then(|field| field.parsed::<Host>(reader, HOST_ALLOWED));
    let address = address(reader, &mut section);
    let port_number = port(reader, &mut section, "port", 3_478);
    let tls_port = port(reader, &mut section, "tls_port", 5_349);
    let first = port(reader, &mut section, "relay_port_min", 49_152);
    let last = port(reader, &mut section, "relay_port_max", 65_535);
    if first > last {
        let problem = format!("the relay ports end at {last}, before they begin at {first}");
        clash(
            reader,
            &section,
            "relay_port_max",
            &problem,
            "a port from `relay_port_min` on",
        );
    }
    if port_number == tls_port {
        clash(
            reader,
            &section,
            "tls_port",
            "TURN and TURN over TLS share a port",
            "two ports",
        );
    }
    section.finish(reader);
    Some(Turn {
        host: host?.value,
        address,
        port: port_number,
        tls_port,
        relay_ports: first..=last,
    })
}

pub(super) const WORKERS: RangeInclusive<u32> = 1..=256;
pub(super) const CAPACITY: RangeInclusive<u32> = 1..=100_000;
const DISPLAY_NAME_ALLOWED: &str =
    "a string of 1 to 64 characters, without control characters or spaces at its ends";
const DNS_ALLOWED: &str = "an array of at least one DNS name";
pub(super) const HOST_ALLOWED: &str = "a lowercase DNS name, an IPv4 or an IPv6 address";
