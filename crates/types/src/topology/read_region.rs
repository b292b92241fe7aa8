//! Reads one `regions/NAME.toml`. What concerns other files is left to `check`.

use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};

use super::fault::{FaultKind, Source};
use super::host::{DNS_NAME_ALLOWED, DnsName, Host};
use super::position::Position;
use super::read_mesh::integer;
use super::reader::{Field, Reader, Section, Spanned};
use super::region::{Edge, Ports, Region, Turn};
use crate::ids::{EdgeId, RegionName};

/// What one region's file says.
pub(super) struct RegionDraft {
    /// The stem of the file, when it is a name. The region exists even when its file is at fault,
    /// so that links to it are not reported as well.
    pub(super) name: Option<RegionName>,
    pub(super) region: Option<Region>,
    pub(super) dns: Vec<Spanned<DnsName>>,
    pub(super) edges: Vec<EdgeDraft>,
}

/// An edge, and where its name and host are written.
pub(super) struct EdgeDraft {
    pub(super) edge: Edge,
    pub(super) id_at: Range<usize>,
    /// None when the host follows from the region's DNS name.
    pub(super) host_at: Option<Range<usize>>,
}

/// What the region says about all its edges.
struct EdgeDefaults {
    workers: u16,
    capacity: u32,
    ports: Ports,
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
        ports: read_ports(reader, root, workers),
    };
    if let Some(field) = root.need(reader, "edges", EDGES_ALLOWED) {
        draft.edges = read_edges(reader, &field, draft, &defaults);
    }
    let turn = read_turn(reader, root);
    draft.region = build(
        draft,
        display_name,
        latitude.zip(longitude),
        dev_client,
        turn,
    );
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

fn read_ports(reader: &mut Reader<'_>, root: &mut Section<'_>, workers: u32) -> Ports {
    let mut ports = Ports::default();
    let Some(mut section) = root
        .find("ports")
        .and_then(|field| field.section(reader, "a table `[ports]`"))
    else {
        return ports;
    };
    ports.signal = port(reader, &mut section, "signal", ports.signal);
    // The last worker's port has to exist as well.
    let media_max = 65_536 - workers.min(256);
    let media = u32::from(ports.media);
    let media = integer(
        reader,
        &mut section,
        "media",
        1..=media_max,
        "as a UDP port",
        media,
    );
    ports.media = u16::try_from(media).unwrap_or(ports.media);
    ports.ice_tcp = port(reader, &mut section, "ice_tcp", ports.ice_tcp);
    ports.backbone = port(reader, &mut section, "backbone", ports.backbone);
    let media_ports = media..media + workers;
    if media_ports.contains(&u32::from(ports.backbone)) {
        let problem = "the backbone's UDP port is one of the media workers'";
        let allowed = format!("a port outside {media} to {}", media_ports.end - 1);
        clash(reader, &section, "backbone", problem, &allowed);
    }
    if ports.signal == ports.ice_tcp {
        let problem = "signalling and ICE-TCP share a TCP port";
        clash(reader, &section, "ice_tcp", problem, "two different ports");
    }
    section.finish(reader);
    ports
}

fn clash(
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

fn port(
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

fn read_edges(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    draft: &RegionDraft,
    defaults: &EdgeDefaults,
) -> Vec<EdgeDraft> {
    if field.is_integer() {
        let count = field.integer(reader, EDGES, "edges").unwrap_or(0);
        let edge = |n| numbered(reader, field, draft, n).map(|id| (id, field.at.clone()));
        let named: Vec<_> = (1..=count).filter_map(edge).collect();
        return named
            .into_iter()
            .filter_map(|(id, id_at)| {
                let host = default_host(reader, field, draft, &id)?;
                Some(EdgeDraft {
                    edge: defaults.edge(id, host),
                    id_at,
                    host_at: None,
                })
            })
            .collect();
    }
    let elements = field.elements(reader, EDGES_ALLOWED);
    let count_is_valid = elements.len() <= *EDGES.end() as usize && !elements.is_empty();
    if field.is_array() && !count_is_valid {
        field.invalid(reader, "the region has no edge, or too many", EDGES_ALLOWED);
    }
    let mut edges = Vec::with_capacity(elements.len());
    for (n, element) in (1..).zip(&elements) {
        edges.extend(read_edge(reader, element, draft, defaults, n));
    }
    edges
}

fn read_edge(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    draft: &RegionDraft,
    defaults: &EdgeDefaults,
    n: u32,
) -> Option<EdgeDraft> {
    let mut section = field.section(reader, EDGES_ALLOWED)?;
    let name = section.find("name");
    let host = section.find("host");
    let workers = u32::from(defaults.workers);
    let workers = integer(reader, &mut section, "workers", WORKERS, "threads", workers);
    let capacity = defaults.capacity;
    let capacity = integer(
        reader,
        &mut section,
        "capacity",
        CAPACITY,
        "participants",
        capacity,
    );
    section.finish(reader);

    let id = match &name {
        None => numbered(reader, field, draft, n),
        Some(name) => read_edge_id(reader, name, draft),
    }?;
    let (host, host_at) = match &host {
        None => (default_host(reader, field, draft, &id)?, None),
        Some(host) => {
            let host = host.parsed::<Host>(reader, HOST_ALLOWED)?;
            (host.value, Some(host.at))
        }
    };
    let mut edge = defaults.edge(id, host);
    edge.workers = u16::try_from(workers).unwrap_or(defaults.workers);
    edge.capacity = capacity;
    Some(EdgeDraft {
        edge,
        id_at: name.map_or_else(|| field.at.clone(), |name| name.at),
        host_at,
    })
}

impl EdgeDefaults {
    fn edge(&self, id: EdgeId, host: Host) -> Edge {
        Edge {
            id,
            host,
            workers: self.workers,
            capacity: self.capacity,
            ports: self.ports,
        }
    }
}

fn numbered(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    draft: &RegionDraft,
    n: u32,
) -> Option<EdgeId> {
    let region = draft.name.as_ref()?;
    let id = EdgeId::nth(region, n).ok();
    if id.is_none() {
        let problem = format!("`{region}-{n}` is too long for an edge's name");
        field.invalid(reader, &problem, "a region name of at most 37 characters");
    }
    id
}

fn read_edge_id(reader: &mut Reader<'_>, field: &Field<'_>, draft: &RegionDraft) -> Option<EdgeId> {
    let id = field.parsed::<EdgeId>(reader, EDGE_NAME_ALLOWED)?.value;
    let region = draft.name.as_ref()?.as_str();
    let is_own = id
        .as_str()
        .strip_prefix(region)
        .is_some_and(|rest| rest.starts_with('-'));
    if is_own {
        return Some(id);
    }
    let problem = format!("an edge's name begins with its region's, `{region}-`");
    field.invalid(reader, &problem, EDGE_NAME_ALLOWED);
    None
}

/// `EDGE.DNS`, where DNS is the region's first name.
fn default_host(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    draft: &RegionDraft,
    id: &EdgeId,
) -> Option<Host> {
    // Without a sound DNS name there is a fault already.
    let parent = &draft.dns.first()?.value;
    let host = parent.child(id.as_str()).ok().map(Host::Name);
    if host.is_none() {
        let problem = format!("`{id}.{parent}` is too long for a DNS name");
        field.invalid(
            reader,
            &problem,
            "a shorter `dns` name, or edges with a `host` of their own",
        );
    }
    host
}

fn read_turn(reader: &mut Reader<'_>, root: &mut Section<'_>) -> Option<Turn> {
    let field = root.find("turn")?;
    let mut section = field.section(reader, "a table `[turn]`")?;
    let host = section
        .need(reader, "host", HOST_ALLOWED)
        .and_then(|field| field.parsed::<Host>(reader, HOST_ALLOWED));
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
        port: port_number,
        tls_port,
        relay_ports: first..=last,
    })
}

const EDGES: RangeInclusive<u32> = 1..=64;
const WORKERS: RangeInclusive<u32> = 1..=256;
const CAPACITY: RangeInclusive<u32> = 1..=100_000;
const DISPLAY_NAME_ALLOWED: &str =
    "a string of 1 to 64 characters, without control characters or spaces at its ends";
const DNS_ALLOWED: &str = "an array of at least one DNS name";
const EDGES_ALLOWED: &str = "a count, or tables `[[edges]]`, from 1 to 64";
const EDGE_NAME_ALLOWED: &str = "REGION-… in at most 40 of a-z, 0-9 and inner hyphens";
const HOST_ALLOWED: &str = "a lowercase DNS name, an IPv4 or an IPv6 address";
