//! Reads a region's `[cloud]`.

use super::cloud::{Cloud, Provider};
use super::reader::{Field, Reader, Section};

const PROVIDER_ALLOWED: &str = "`aws` or `hetzner`";
const ZONES_ALLOWED: &str = "1 to 6 different zones of the region, such as `eu-west-3a`; AWS only";

pub(super) fn read(reader: &mut Reader<'_>, root: &mut Section<'_>) -> Option<Cloud> {
    let field = root.find("cloud")?;
    let mut section = field.section(reader, "a table `[cloud]`")?;
    let provider = section
        .need(reader, "provider", PROVIDER_ALLOWED)
        .and_then(|field| field.parsed::<Provider>(reader, PROVIDER_ALLOWED));
    let region = section.need(reader, "region", "the provider's name of the region");
    let zones = section.find("zones");
    let edge_type = section.find("edge_type");
    let turn_type = section.find("turn_type");
    section.finish(reader);
    // What the other values may be depends on the provider.
    let provider = provider?.value;
    let region = region.and_then(|field| {
        let allowed = provider.region_allowed();
        checked(reader, &field, allowed, |name| provider.is_region(name))
    });
    let mut machine = |field: Option<Field<'_>>, default: &str| match field {
        None => Some(default.to_owned()),
        Some(field) => {
            let allowed = provider.machine_allowed();
            checked(reader, &field, allowed, |name| provider.is_machine(name))
        }
    };
    let edge_type = machine(edge_type, provider.edge_type());
    let turn_type = machine(turn_type, provider.turn_type());
    let region = region?;
    Some(Cloud {
        provider,
        zones: read_zones(reader, zones.as_ref(), provider, &region)?,
        region,
        edge_type: edge_type?,
        turn_type: turn_type?,
    })
}

fn read_zones(
    reader: &mut Reader<'_>,
    field: Option<&Field<'_>>,
    provider: Provider,
    region: &str,
) -> Option<Vec<String>> {
    let Some(field) = field else {
        return Some(match provider {
            Provider::Aws => vec![format!("{region}a")],
            Provider::Hetzner => Vec::new(),
        });
    };
    let elements = field.elements(reader, ZONES_ALLOWED);
    let mut zones = Vec::with_capacity(elements.len());
    for element in &elements {
        let is_new = |name: &str| !zones.iter().any(|zone| zone == name);
        let is_valid = |name: &str| provider.is_zone(region, name) && is_new(name);
        let zone = checked(reader, element, ZONES_ALLOWED, is_valid)?;
        zones.push(zone);
    }
    if field.is_array() && !(1..=6).contains(&zones.len()) {
        field.invalid(reader, "no zone, or too many", ZONES_ALLOWED);
    }
    Some(zones)
}

/// A text that is as it has to be.
pub(super) fn checked(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    allowed: &str,
    is_valid: impl Fn(&str) -> bool,
) -> Option<String> {
    let text = field.text(reader, allowed)?;
    if is_valid(text) {
        return Some(text.to_owned());
    }
    field.invalid(reader, "the value is malformed", allowed);
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::super::{Fault, FaultKind, Provider, Source, Topology};

    const MESH: &str = "name = \"one\"\nregions = [\"lima\"]\n";

    fn parse(cloud: &str) -> Result<Topology, Vec<Fault>> {
        let region = format!(
            "display_name = \"Lima\"\nlatitude = -12\nlongitude = -77\ndns = [\"lima.example\"]\n\
             [[edges]]\naddress = \"203.0.113.7\"\n\
             [turn]\nhost = \"203.0.113.8\"\n{cloud}"
        );
        let [name, text] = ["topology.toml", MESH];
        let region = Source {
            name: "regions/lima.toml",
            text: &region,
        };
        Topology::parse(Source { name, text }, &[region])
    }

    #[test]
    fn a_provider_and_its_region_are_enough() {
        let aws = parse("[cloud]\nprovider = \"aws\"\nregion = \"sa-east-1\"\n").unwrap();
        let cloud = aws.regions()[0].cloud().unwrap();
        assert_eq!(cloud.provider(), Provider::Aws);
        assert_eq!(cloud.zones(), ["sa-east-1a"]);
        assert_eq!(
            [cloud.edge_type(), cloud.turn_type()],
            ["c7i.xlarge", "c7i.large"]
        );

        let hetzner = parse("[cloud]\nprovider = \"hetzner\"\nregion = \"fsn1\"\n").unwrap();
        let cloud = hetzner.regions()[0].cloud().unwrap();
        assert!(cloud.zones().is_empty());
        assert_eq!([cloud.edge_type(), cloud.turn_type()], ["ccx23", "ccx13"]);
        assert!(parse("").unwrap().regions()[0].cloud().is_none());
    }

    #[test]
    fn addresses_are_the_machines_own_or_their_hosts() {
        let topology = parse("").unwrap();
        let region = &topology.regions()[0];
        let addresses = [
            region.edges()[0].address(),
            region.turn().unwrap().address(),
        ];
        let text = addresses.map(|address| address.unwrap().to_string());
        assert_eq!(text, ["203.0.113.7", "203.0.113.8"]);
    }

    #[test]
    fn what_a_provider_does_not_have_is_refused() {
        for (cloud, key, kind) in [
            ("region = \"fsn1\"", "cloud.provider", FaultKind::MissingKey),
            ("provider = \"aws\"", "cloud.region", FaultKind::MissingKey),
            (
                "provider = \"azure\"\nregion = \"x\"",
                "cloud.provider",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"aws\"\nregion = \"fsn1\"",
                "cloud.region",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"hetzner\"\nregion = \"eu-west-3\"",
                "cloud.region",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"aws\"\nregion = \"eu-west-3\"\nzones = [\"eu-west-1a\"]",
                "cloud.zones[1]",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"aws\"\nregion = \"eu-west-3\"\nzones = []",
                "cloud.zones",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"hetzner\"\nregion = \"fsn1\"\nzones = [\"fsn1a\"]",
                "cloud.zones[1]",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"aws\"\nregion = \"eu-west-3\"\nedge_type = \"ccx23\"",
                "cloud.edge_type",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"hetzner\"\nregion = \"fsn1\"\nturn_type = \"c7i.large\"",
                "cloud.turn_type",
                FaultKind::InvalidValue,
            ),
            (
                "provider = \"aws\"\nregion = \"eu-west-3\"\nzone = \"a\"",
                "cloud.zone",
                FaultKind::UnknownKey,
            ),
        ] {
            let faults = parse(&format!("[cloud]\n{cloud}\n")).unwrap_err();
            let found: Vec<_> = faults.iter().map(|f| (f.key.as_str(), f.kind)).collect();
            assert_eq!(found, [(key, kind)], "{cloud}");
        }
    }

    #[test]
    fn no_name_however_strange_is_a_region_by_accident() {
        for name in [
            "",
            "-",
            "--1",
            "eu--1",
            "eu-west-",
            "eu-west-33",
            "Eu-west-3",
            "eu-west-é",
        ] {
            assert!(!Provider::Aws.is_region(name), "{name}");
        }
        for name in ["", "1", "fs1", "fsnn1", "fsn12", "FSN1", "fsn1-"] {
            assert!(!Provider::Hetzner.is_region(name), "{name}");
        }
        assert!(Provider::Hetzner.is_region("ash") && Provider::Aws.is_region("us-gov-west-1"));
        assert!(
            Provider::Aws.is_machine("u-3tb1.56xlarge") && Provider::Aws.is_machine("c7g.metal")
        );
        assert!(!Provider::Aws.is_machine("c7g.") && !Provider::Hetzner.is_machine("ccx"));
    }
}
