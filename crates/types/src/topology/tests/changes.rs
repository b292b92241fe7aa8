use super::*;

#[test]
fn a_mesh_does_not_differ_from_itself_nor_by_the_order_of_ends() {
    let mesh = parse(&FILES).unwrap();
    assert_eq!(mesh.changes(&mesh), []);
    let turned = MESH.replace("[\"tokyo\", \"lima\"]", "[\"lima\", \"tokyo\"]");
    let turned = parse(&[("topology.toml", &turned), FILES[1], FILES[2], FILES[3]]).unwrap();
    assert_eq!(mesh.changes(&turned), []);
}

#[test]
fn what_is_added_removed_or_changed_is_named() {
    let before = parse(&FILES).unwrap();
    let mesh = MESH
        .replace("\"lima\"]\n\n[policy]", "\"oslo\"]\n\n[policy]")
        .replace("[\"tokyo\", \"lima\"]", "[\"tokyo\", \"oslo\"]")
        .replace("round_trip_ms = 210", "round_trip_ms = 200")
        .replace("hops_max = 3", "hops_max = 3\nregions_denied = [\"oslo\"]");
    let oslo = LIMA.replace("lima.", "oslo.").replace("Lima", "Oslo");
    let paris = PARIS
        .replace("edges = 2", "edges = 1")
        .replace("workers = 4", "workers = 8");
    let after = parse(&[
        ("topology.toml", &mesh),
        ("regions/oslo.toml", &oslo),
        ("regions/paris.toml", &paris),
        FILES[3],
    ]);
    let changes = before.changes(&after.unwrap());
    let lines = changes.iter().map(|change| {
        let how = match &change.how {
            How::Added => "added".to_owned(),
            How::Removed => "removed".to_owned(),
            How::Changed(values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                values.join("; ")
            }
        };
        format!("{} {}: {how}", change.part.as_str(), change.name)
    });
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "mesh : policy.regions_denied [] -> [oslo]",
            "region lima: removed",
            "region oslo: added",
            "edge lima-1: removed",
            "edge oslo-1: added",
            "edge paris-1: workers 4 -> 8",
            "edge paris-2: removed",
            "link lima - tokyo: removed",
            "link oslo - tokyo: added",
            "link paris - tokyo: round_trip_ms 210 ms -> 200 ms",
        ]
    );
}
