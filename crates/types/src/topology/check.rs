//! Checks what no file can know by itself, and builds the topology when nothing is wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::certificates;
use super::fault::{Fault, FaultKind, Source, did_you_mean};
use super::link::Link;
use super::read_mesh::{self, CoordinatorDraft, LinkDraft, MeshDraft};
use super::read_region::{self, RegionDraft};
use super::reader::{Reader, Spanned};
use super::settings::CoordinatorSettings;
use super::{Host, Topology};
use crate::ids::RegionName;

pub(super) fn parse(mesh: Source<'_>, regions: &[Source<'_>]) -> Result<Topology, Vec<Fault>> {
    let (mut mesh_reader, mesh_draft) = read_mesh::read(mesh);
    let mut regions: Vec<_> = regions
        .iter()
        .map(|&source| read_region::read(source))
        .collect();

    check_regions(&mut regions);
    if let Some(draft) = &mesh_draft {
        check_order(&mut mesh_reader, draft, &mut regions);
        let known = known_regions(draft, &regions);
        let joined = check_links(&mut mesh_reader, &draft.links, &known);
        check_fallback(&mut mesh_reader, &draft.coordinator, &known);
        certificates::check(&mut mesh_reader, draft, &mut regions);
        check_paths(&mut mesh_reader, draft, &joined);
        let hops_max = draft.policy.hops_max;
        (draft.rules).check(&mut mesh_reader, &known, &joined, hops_max);
    }

    let mut faults = Vec::new();
    for mut reader in std::iter::once(mesh_reader).chain(
        regions
            .iter_mut()
            .map(|(reader, _)| std::mem::replace(reader, Reader::new(mesh))),
    ) {
        reader
            .faults
            .sort_by_key(|fault| (fault.line, fault.column));
        faults.append(&mut reader.faults);
    }
    let drafts = regions.into_iter().map(|(_, draft)| draft);
    match mesh_draft.and_then(|mesh| build(mesh, drafts)) {
        Some(topology) if faults.is_empty() => Ok(topology),
        _ => Err(faults),
    }
}

/// Names, DNS names, edges and their hosts are each taken once.
fn check_regions(regions: &mut [(Reader<'_>, RegionDraft)]) {
    let mut names = BTreeMap::new();
    let mut edges = BTreeMap::new();
    let mut hosts: BTreeMap<Host, (bool, usize, String)> = BTreeMap::new();
    for (index, (reader, draft)) in regions.iter_mut().enumerate() {
        let file = reader.source().name.to_owned();
        if let Some(first) = draft.name.clone().and_then(|name| names.insert(name, file)) {
            let problem = format!("{first} has the same name");
            reader.fault(
                &(0..0),
                FaultKind::Duplicate,
                "",
                problem,
                "one file for each region",
            );
        }
        for edge in &draft.edges {
            let place = reader.place(&edge.id_at);
            if let Some(first) = edges.insert(edge.edge.id().clone(), place) {
                let problem = format!("the edge `{}` is already at {first}", edge.edge.id());
                let allowed = "a name that no other edge has";
                reader.fault(&edge.id_at, FaultKind::Duplicate, "edges", problem, allowed);
            }
        }
        let dns = draft
            .dns
            .iter()
            .map(|name| (Host::Name(name.value.clone()), &name.at, false));
        let own = draft
            .edges
            .iter()
            .filter_map(|edge| Some((edge.edge.host().clone(), edge.host_at.as_ref()?, true)));
        // A region with one edge may use one name for both.
        for (host, at, is_edge) in dns.chain(own) {
            let place = reader.place(at);
            match hosts.get(&host) {
                Some((_, region, first)) if *region != index => {
                    duplicate_host(reader, at, is_edge, &host, first);
                }
                Some((of_edge, _, first)) if *of_edge == is_edge => {
                    duplicate_host(reader, at, is_edge, &host, first);
                }
                _ => {
                    hosts.insert(host, (is_edge, index, place));
                }
            }
        }
    }
}

fn duplicate_host(
    reader: &mut Reader<'_>,
    at: &Range<usize>,
    is_edge: bool,
    host: &Host,
    first: &str,
) {
    let key = if is_edge { "edges.host" } else { "dns" };
    let problem = format!("`{host}` is already used at {first}");
    reader.fault(
        at,
        FaultKind::Duplicate,
        key,
        problem,
        "a name or address that nothing else has",
    );
}

/// `regions` and the files name the same regions, each once.
fn check_order(
    reader: &mut Reader<'_>,
    draft: &MeshDraft,
    regions: &mut [(Reader<'_>, RegionDraft)],
) {
    let files: BTreeSet<_> = regions
        .iter()
        .filter_map(|(_, draft)| draft.name.clone())
        .collect();
    let mut listed = BTreeMap::new();
    for name in &draft.order {
        let place = reader.place(&name.at);
        if let Some(first) = listed.insert(&name.value, place) {
            let problem = format!("`{}` is already listed at {first}", name.value);
            reader.fault(
                &name.at,
                FaultKind::Duplicate,
                "regions",
                problem,
                "each region once",
            );
        } else if !files.contains(&name.value) {
            let problem = match did_you_mean(name.value.as_str(), names(&files)) {
                Some(meant) => format!("no file describes it, did you mean `{meant}`?"),
                None => "no file describes it".to_owned(),
            };
            let allowed = format!("a region with a file, here regions/{}.toml", name.value);
            reader.fault(
                &name.at,
                FaultKind::UnknownRegion,
                "regions",
                problem,
                allowed,
            );
        }
    }
    for (reader, draft) in regions {
        if let Some(name) = draft
            .name
            .as_ref()
            .filter(|name| !listed.contains_key(name))
        {
            let problem = format!("`regions` in topology.toml does not list `{name}`");
            let allowed = "files of listed regions only: list it, or remove the file";
            reader.fault(&(0..0), FaultKind::UnlistedRegion, "", problem, allowed);
        }
    }
}

/// Every region that is listed or has a file: links to it are sound, whatever else is wrong.
fn known_regions(draft: &MeshDraft, regions: &[(Reader<'_>, RegionDraft)]) -> BTreeSet<RegionName> {
    let files = regions.iter().filter_map(|(_, draft)| draft.name.clone());
    draft
        .order
        .iter()
        .map(|name| name.value.clone())
        .chain(files)
        .collect()
}

/// Which pairs of regions links join.
pub(super) type Joined = BTreeMap<(RegionName, RegionName), String>;

fn check_links(
    reader: &mut Reader<'_>,
    links: &[LinkDraft],
    known: &BTreeSet<RegionName>,
) -> Joined {
    let mut joined = Joined::new();
    for link in links {
        let Some([a, b]) = &link.ends else { continue };
        let key = format!("{}.ends", link.path);
        let a_meant = check_end(reader, &key, a, known);
        let b_meant = check_end(reader, &key, b, known);
        if a.value == b.value {
            let problem = format!("the link joins `{}` with itself", a.value);
            reader.fault(
                &b.at,
                FaultKind::SelfLink,
                &key,
                problem,
                "two different regions",
            );
            continue;
        }
        let (Some(a_meant), Some(b_meant)) = (a_meant, b_meant) else {
            continue;
        };
        let pair = if a_meant < b_meant {
            (a_meant, b_meant)
        } else {
            (b_meant, a_meant)
        };
        let at = a.at.start..b.at.end;
        if let Some(first) = joined.get(&pair) {
            let problem = format!("{} and {} are already joined at {first}", pair.0, pair.1);
            reader.fault(
                &at,
                FaultKind::Duplicate,
                &key,
                problem,
                "one link for each pair",
            );
        } else {
            joined.insert(pair, reader.place(&at));
        }
    }
    joined
}

/// The region that an end means. A misspelt one is reported and taken for the one it resembles,
/// so that the region it leaves alone is not reported as well.
fn check_end(
    reader: &mut Reader<'_>,
    key: &str,
    end: &Spanned<RegionName>,
    known: &BTreeSet<RegionName>,
) -> Option<RegionName> {
    if known.contains(&end.value) {
        return Some(end.value.clone());
    }
    unknown_region(reader, key, end, known);
    let meant = did_you_mean(end.value.as_str(), names(known))?;
    known.get(meant).cloned()
}

pub(super) fn unknown_region(
    reader: &mut Reader<'_>,
    key: &str,
    name: &Spanned<RegionName>,
    known: &BTreeSet<RegionName>,
) {
    let problem = match did_you_mean(name.value.as_str(), names(known)) {
        Some(meant) => format!(
            "there is no region `{}`, did you mean `{meant}`?",
            name.value
        ),
        None => format!("there is no region `{}`", name.value),
    };
    let allowed = names(known).collect::<Vec<_>>().join(", ");
    reader.fault(&name.at, FaultKind::UnknownRegion, key, problem, allowed);
}

fn check_fallback(
    reader: &mut Reader<'_>,
    coordinator: &CoordinatorDraft,
    known: &BTreeSet<RegionName>,
) {
    let unknown = coordinator
        .fallback_region
        .as_ref()
        .filter(|name| !known.contains(&name.value));
    if let Some(name) = unknown {
        unknown_region(reader, "coordinator.fallback_region", name, known);
    }
}

/// Every listed region reaches every other, and within the hop limit.
fn check_paths(reader: &mut Reader<'_>, draft: &MeshDraft, joined: &Joined) {
    let neighbours = neighbours(joined);
    let hops: Vec<_> = draft
        .order
        .iter()
        .map(|from| hops_from(&from.value, &neighbours))
        .collect();
    // The mesh proper is the largest part that hangs together; the rest is cut off from it.
    let Some(main) = hops.iter().rev().max_by_key(|reached| reached.len()) else {
        return;
    };
    let centre = draft
        .order
        .iter()
        .find(|name| main.get(&name.value) == Some(&0));
    let mut longest = None;
    for (name, reached) in draft.order.iter().zip(&hops) {
        if !main.contains_key(&name.value) {
            let from = centre.map_or("", |name| name.value.as_str());
            let problem = format!("no path of links reaches it from `{from}`");
            let allowed = format!("a region with a [[link]] to `{from}` or what `{from}` reaches");
            reader.fault(
                &name.at,
                FaultKind::Unreachable,
                "regions",
                problem,
                allowed,
            );
            continue;
        }
        for (&to, &hops) in reached {
            if longest.is_none_or(|(most, _, _)| hops > most) {
                longest = Some((hops, &name.value, to));
            }
        }
    }
    if let Some((hops, from, to)) = longest.filter(|&(hops, ..)| hops > draft.policy.hops_max) {
        let problem = format!("from `{from}` to `{to}` takes {hops} links");
        let allowed = format!("an integer from {hops} to 16 links, or shorter paths");
        let key = "policy.hops_max";
        reader.fault(
            &draft.hops_max_at,
            FaultKind::Unreachable,
            key,
            problem,
            allowed,
        );
    }
}

/// Which regions links join with each.
pub(super) fn neighbours(joined: &Joined) -> BTreeMap<&RegionName, Vec<&RegionName>> {
    let mut neighbours: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (a, b) in joined.keys() {
        neighbours.entry(a).or_default().push(b);
        neighbours.entry(b).or_default().push(a);
    }
    neighbours
}

/// How many links away each region is that can be reached.
pub(super) fn hops_from<'a>(
    from: &'a RegionName,
    neighbours: &BTreeMap<&'a RegionName, Vec<&'a RegionName>>,
) -> BTreeMap<&'a RegionName, u32> {
    let mut hops = BTreeMap::from([(from, 0)]);
    let mut queue = VecDeque::from([(from, 0)]);
    while let Some((region, distance)) = queue.pop_front() {
        for &next in neighbours.get(region).into_iter().flatten() {
            if !hops.contains_key(next) {
                hops.insert(next, distance + 1);
                queue.push_back((next, distance + 1));
            }
        }
    }
    hops
}

fn build(mesh: MeshDraft, drafts: impl Iterator<Item = RegionDraft>) -> Option<Topology> {
    let mut files: BTreeMap<_, _> = drafts
        .filter_map(|draft| Some((draft.name?, draft.region?)))
        .collect();
    let regions: Vec<_> = mesh
        .order
        .iter()
        .map(|name| files.remove(&name.value))
        .collect::<Option<_>>()?;
    let links = mesh
        .links
        .into_iter()
        .map(build_link)
        .collect::<Option<_>>()?;
    let draft = mesh.coordinator;
    let first = mesh.order.into_iter().next()?;
    let coordinator = CoordinatorSettings {
        public_url: draft.public_url,
        heartbeat: draft.heartbeat,
        silent_after: draft.silent_after,
        fallback_region: draft.fallback_region.unwrap_or(first).value,
        join_token_s: draft.join_token_s,
        turn_credential_s: draft.turn_credential_s,
        candidates: draft.candidates,
        trusted_proxies: draft.trusted_proxies,
        certificates: certificates::chosen(draft.acme_at.as_ref()),
    };
    Some(Topology {
        name: mesh.name?,
        rules: mesh.rules.rules(),
        policy: mesh.policy,
        coordinator,
        acme: mesh.acme.acme,
        regions,
        links,
    })
}

fn build_link(draft: LinkDraft) -> Option<Link> {
    Some(Link {
        ends: draft.ends?.map(|end| end.value),
        round_trip: draft.round_trip?,
        capacity: draft.capacity?,
        price: draft.price,
        loss: draft.loss,
    })
}

fn names(regions: &BTreeSet<RegionName>) -> impl Iterator<Item = &str> {
    regions.iter().map(RegionName::as_str)
}
