use super::*;

fn with_policy(lines: &str) -> Result<Topology, Vec<Fault>> {
    let mesh = MESH.replace("hops_max = 3", &format!("hops_max = 3\n{lines}"));
    parse(&[("topology.toml", &mesh), FILES[1], FILES[2], FILES[3]])
}

#[test]
fn regions_are_allowed_unless_the_policy_says_otherwise() {
    let all = parse(&FILES).unwrap();
    assert_eq!(all.region_rules(), &RegionRules::default());
    assert!(all.region_rules().allow(&name("lima")));
    let some = with_policy("regions_allowed = [\"paris\", \"tokyo\"]").unwrap();
    let may = |topology: &Topology| {
        ["paris", "tokyo", "lima"].map(|region| topology.region_rules().allow(&name(region)))
    };
    assert_eq!(may(&some), [true, true, false]);
    let but = with_policy("regions_denied = [\"lima\"]").unwrap();
    assert_eq!(may(&but), [true, true, false]);
}

#[test]
fn rules_that_name_no_region_or_leave_none_or_cut_are_faults() {
    for (lines, kind, key, says) in [
        (
            "regions_denied = [\"pariss\"]",
            FaultKind::UnknownRegion,
            "policy.regions_denied",
            "did you mean `paris`?",
        ),
        (
            "regions_allowed = []",
            FaultKind::InvalidValue,
            "policy.regions_allowed",
            "no region is left",
        ),
        (
            "regions_allowed = [\"lima\"]\nregions_denied = [\"lima\"]",
            FaultKind::InvalidValue,
            "policy.regions_allowed",
            "no region is left",
        ),
        (
            "regions_denied = [\"tokyo\"]",
            FaultKind::Unreachable,
            "policy.regions_denied",
            "from `lima` to `paris`",
        ),
        (
            "regions_allowed = \"paris\"",
            FaultKind::WrongType,
            "policy.regions_allowed",
            "the value is a string",
        ),
    ] {
        let faults = with_policy(lines).unwrap_err();
        assert_eq!((faults[0].kind, &*faults[0].key), (kind, key), "{lines}");
        assert!(faults[0].problem.contains(says), "{}", faults[0]);
        assert!(!faults[0].allowed.is_empty());
    }
}
