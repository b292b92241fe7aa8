//! Where certificates of public names come from: files that are put on machines, or an ACME authority.

use std::ops::Range;

use super::fault::FaultKind;
use super::host::{DnsName, Host};
use super::read_cloud::checked;
use super::read_mesh::MeshDraft;
use super::read_region::RegionDraft;
use super::reader::{Reader, Section};

/// Where the certificate of a machine's public names comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Certificates {
    /// Somebody puts it there, and in good time another.
    #[default]
    Files,
    /// The machine gets it from the mesh's [`Acme`] authority, and renews it.
    Acme,
}

impl Certificates {
    /// As the files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Acme => "acme",
        }
    }
}

/// An authority that issues certificates by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    directory: String,
    contact: Vec<String>,
}

impl Acme {
    /// The `https://` URL of its directory.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Where it reaches people: URLs such as `mailto:ops@acme.example`; may be none.
    #[must_use]
    pub fn contact(&self) -> &[String] {
        &self.contact
    }
}

/// `[acme]` of topology.toml.
#[derive(Default)]
pub(super) struct AcmeDraft {
    /// There is such a table, be it at fault.
    given: bool,
    pub(super) acme: Option<Acme>,
}

pub(super) fn read_acme(reader: &mut Reader<'_>, root: &mut Section<'_>) -> AcmeDraft {
    let Some(field) = root.find("acme") else {
        return AcmeDraft::default();
    };
    let mut draft = AcmeDraft {
        given: true,
        acme: None,
    };
    let Some(mut section) = field.section(reader, "a table `[acme]`") else {
        return draft;
    };
    let directory = section
        .need(reader, "directory", DIRECTORY_ALLOWED)
        .and_then(|field| {
            let is_url = |url: &str| url.strip_prefix("https://").is_some_and(is_plain);
            checked(reader, &field, DIRECTORY_ALLOWED, is_url)
        });
    let contact = section.find("contact").map_or_else(Vec::new, |field| {
        let is_url = |url: &str| url.split_once(':').is_some_and(|(_, rest)| is_plain(rest));
        let contacts = field.elements(reader, CONTACT_ALLOWED);
        contacts
            .iter()
            .filter_map(|contact| checked(reader, contact, CONTACT_ALLOWED, is_url))
            .collect()
    });
    section.finish(reader);
    draft.acme = directory.map(|directory| Acme { directory, contact });
    draft
}

/// `certificates` of a region or of the coordinator, and where ACME is chosen, if it is.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Range<usize>> {
    let field = section.find("certificates")?;
    match field.text(reader, ALLOWED)? {
        "acme" => Some(field.at),
        "files" => None,
        _ => {
            field.invalid(reader, "certificates come from nowhere else", ALLOWED);
            None
        }
    }
}

pub(super) fn chosen(at: Option<&Range<usize>>) -> Certificates {
    at.map_or(Certificates::Files, |_| Certificates::Acme)
}

/// Who chooses ACME has an authority, names that it can vouch for, and its port for the proof.
pub(super) fn check(
    mesh_reader: &mut Reader<'_>,
    mesh: &MeshDraft,
    regions: &mut [(Reader<'_>, RegionDraft)],
) {
    if let Some(at) = &mesh.coordinator.acme_at {
        let url = &mesh.coordinator.public_url;
        let problem = if !mesh.acme.given {
            Some("there is no `[acme]`".to_owned())
        } else if !has_public_name(url) {
            Some(format!("`{url}` is nothing that an authority vouches for"))
        } else {
            None
        };
        if let Some(problem) = problem {
            refuse(mesh_reader, at, "coordinator.certificates", problem);
        }
    }
    for (reader, region) in regions {
        let Some(at) = region.acme_at.clone() else {
            continue;
        };
        if !mesh.acme.given {
            let problem = "topology.toml has no `[acme]`".to_owned();
            refuse(reader, &at, "certificates", problem);
        }
        for edge in region.edges.iter().map(|draft| &draft.edge) {
            let id = edge.id();
            let ports = edge.ports();
            if let Host::Address(address) = edge.host() {
                let problem = format!("`{id}` has no name, but the address {address}");
                refuse(reader, &at, "certificates", problem);
            } else if [ports.signal(), ports.ice_tcp()].contains(&ACME_PORT) {
                let problem = format!("`{id}` uses port 80 for something else");
                refuse(reader, &at, "certificates", problem);
            }
        }
    }
}

fn refuse(reader: &mut Reader<'_>, at: &Range<usize>, key: &str, problem: String) {
    reader.fault(at, FaultKind::InvalidValue, key, problem, CHOICE_ALLOWED);
}

/// `https://`, a DNS name, and perhaps a port other than that of proofs.
fn has_public_name(url: &str) -> bool {
    let Some(authority) = url.strip_prefix("https://") else {
        return false;
    };
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    host.parse::<DnsName>().is_ok() && port.parse() != Ok(ACME_PORT)
}

/// What may stand in a rendered file between quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// Where the authority asks for proofs (HTTP-01).
const ACME_PORT: u16 = 80;
const ALLOWED: &str = "`files` or `acme`";
const CHOICE_ALLOWED: &str = "`files`; `acme` wants `[acme]` in topology.toml, a DNS name for everything, and port 80 for itself";
const DIRECTORY_ALLOWED: &str = "an `https://` URL";
const CONTACT_ALLOWED: &str = "an array of URLs such as `mailto:ops@acme.example`";
