//! Reads a region's edges and their ports.

use std::ops::{Range, RangeInclusive};

use super::host::Host;
use super::read_mesh::integer;
use super::read_region::{self, CAPACITY, HOST_ALLOWED, RegionDraft, WORKERS, clash, port};
use super::reader::{Field, Reader, Section};
use super::region::{Edge, Ports};
use crate::ids::EdgeId;

/// An edge, and where its name and host are written.
pub(super) struct EdgeDraft {
    pub(super) edge: Edge,
    pub(super) id_at: Range<usize>,
    /// None when the host follows from the region's DNS name.
    pub(super) host_at: Option<Range<usize>>,
}

/// What the region says about all its edges.
pub(super) struct EdgeDefaults {
    pub(super) workers: u16,
    pub(super) capacity: u32,
    pub(super) ports: Ports,
}

pub(super) fn read_ports(reader: &mut Reader<'_>, root: &mut Section<'_>, workers: u32) -> Ports {
    let mut ports = Ports::default();
    let Some(mut section) = root
        .find("ports")
        .and_then(|field| field.section(reader, "a table `[ports]`"))
    else {
        return ports;
    };
    ports.signal = port(reader, &mut section, "signal", ports.signal);
    ports.media = port(reader, &mut section, "media", ports.media);
    ports.ice_tcp = port(reader, &mut section, "ice_tcp", ports.ice_tcp);
    ports.backbone = port(reader, &mut section, "backbone", ports.backbone);
    if let Err((problem, allowed)) = media_ports(ports, workers) {
        clash(reader, &section, "media", &problem, &allowed);
    }
    if ports.signal == ports.ice_tcp {
        let problem = "signalling and ICE-TCP share a TCP port";
        clash(reader, &section, "ice_tcp", problem, "two different ports");
    }
    section.finish(reader);
    ports
}

/// Whether so many media workers find a UDP port each: the problem and what is allowed if not.
fn media_ports(ports: Ports, workers: u32) -> Result<(), (String, String)> {
    let first = u32::from(ports.media);
    let last = first + workers - 1;
    if last > u32::from(u16::MAX) {
        let problem = format!("{workers} workers take the UDP ports {first} to {last}");
        return Err((
            problem,
            "ports up to 65535: fewer workers, or a lower `media`".to_owned(),
        ));
    }
    if (first..=last).contains(&u32::from(ports.backbone)) {
        let problem = format!("the media workers' UDP ports {first} to {last} include `backbone`");
        return Err((problem, format!("ports that leave {} free", ports.backbone)));
    }
    Ok(())
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    draft: &RegionDraft,
    defaults: &EdgeDefaults,
) -> Vec<EdgeDraft> {
    if field.is_integer() {
        let count = field.integer(reader, COUNT, "edges").unwrap_or(0);
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
    let elements = field.elements(reader, ALLOWED);
    let count_is_valid = elements.len() <= *COUNT.end() as usize && !elements.is_empty();
    if field.is_array() && !count_is_valid {
        field.invalid(reader, "the region has no edge, or too many", ALLOWED);
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
    let mut section = field.section(reader, ALLOWED)?;
    let name = section.find("name");
    let host = section.find("host");
    let address = read_region::address(reader, &mut section);
    let workers = section.find("workers").map_or(defaults.workers, |field| {
        let workers = field.integer(reader, WORKERS, "threads").unwrap_or(1);
        if let Err((problem, allowed)) = media_ports(defaults.ports, workers) {
            field.invalid(reader, &problem, &allowed);
        }
        u16::try_from(workers).unwrap_or(1)
    });
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
    edge.address = address;
    edge.workers = workers;
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
            address: None,
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

const COUNT: RangeInclusive<u32> = 1..=64;
pub(super) const ALLOWED: &str = "a count, or tables `[[edges]]`, from 1 to 64";
const EDGE_NAME_ALLOWED: &str = "REGION-… in at most 40 of a-z, 0-9 and inner hyphens";
