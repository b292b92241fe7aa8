//! A small mesh somewhere on earth, as topology files that are read and checked like anybody's.

use std::collections::BTreeSet;
use std::fmt::Write;

use sluice_placement::world::Dice;
use sluice_types::topology::{Source, Topology};

/// Where regions may be.
const CITIES: [(&str, f64, f64); 12] = [
    ("paris", 48.9, 2.4),
    ("virginia", 38.9, -77.5),
    ("singapore", 1.4, 103.8),
    ("tokyo", 35.7, 139.7),
    ("sydney", -33.9, 151.2),
    ("frankfurt", 50.1, 8.7),
    ("saopaulo", -23.6, -46.6),
    ("mumbai", 19.1, 72.9),
    ("johannesburg", -26.2, 28.0),
    ("oregon", 45.8, -119.7),
    ("lima", -12.1, -77.0),
    ("dubai", 25.2, 55.3),
];

/// A kilometre there and back in milliseconds: light in fibre, with the detours of cables.
const ROUND_TRIP_MS_PER_KM: f64 = 0.014;

/// Three to six regions with one or two edges each, joined in a ring and by a few links across.
///
/// # Errors
/// What is wrong with the files; nothing, or this module is.
pub(super) fn topology(dice: &mut Dice) -> Result<Topology, String> {
    let mut cities = CITIES.to_vec();
    let count = 3 + dice.below(4) as usize;
    let mut chosen = Vec::new();
    while chosen.len() < count {
        chosen.push(cities.swap_remove(dice.below(cities.len() as u64) as usize));
    }
    let mut links: BTreeSet<_> = (0..count)
        .map(|at| (at, (at + 1) % count))
        .map(|(a, b)| (a.min(b), a.max(b)))
        .collect();
    for _ in 0..dice.below(count as u64 + 1) {
        let (a, b) = (dice.below(count as u64), dice.below(count as u64));
        if a != b {
            links.insert((a.min(b) as usize, a.max(b) as usize));
        }
    }
    let names: Vec<_> = chosen
        .iter()
        .map(|(name, ..)| format!("{name:?}"))
        .collect();
    let mut mesh = format!(
        "name = \"simulated\"\nregions = [{}]\n\n[policy]\nlatency_stretch = 1.{}\nfan_out_max = {}\nhops_max = 5\n\n[coordinator]\npublic_url = \"https://meet.example.net\"\nheartbeat_ms = 1000\nsilent_after_ms = 3000\n",
        names.join(", "),
        2 + dice.below(7),
        2 + dice.below(4),
    );
    for (a, b) in links {
        let ((a, a_lat, a_lon), (b, b_lat, b_lon)) = (chosen[a], chosen[b]);
        let km = distance_km((a_lat, a_lon), (b_lat, b_lon));
        let round_trip_ms = ((km * ROUND_TRIP_MS_PER_KM) as u32).max(2);
        let _ = write!(
            mesh,
            "\n[[link]]\nends = [\"{a}\", \"{b}\"]\nround_trip_ms = {round_trip_ms}\ncapacity_mbps = 1000\ncost_per_gb = 0.0{}\n",
            1 + dice.below(9)
        );
    }
    let regions: Vec<_> = chosen
        .iter()
        .map(|(name, latitude, longitude)| {
            let text = format!(
                "display_name = \"{name}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\ndns = [\"{name}.example.net\"]\ncapacity = {}\nedges = {}\n",
                3 + dice.below(4),
                1 + dice.below(2)
            );
            (format!("regions/{name}.toml"), text)
        })
        .collect();
    let sources: Vec<_> = regions
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let mesh = Source {
        name: "topology.toml",
        text: &mesh,
    };
    Topology::parse(mesh, &sources).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    })
}

fn distance_km((a_lat, a_lon): (f64, f64), (b_lat, b_lon): (f64, f64)) -> f64 {
    let (a_lat, b_lat) = (a_lat.to_radians(), b_lat.to_radians());
    let across = (b_lon - a_lon).to_radians();
    let cosine = a_lat.sin() * b_lat.sin() + a_lat.cos() * b_lat.cos() * across.cos();
    cosine.clamp(-1.0, 1.0).acos() * 6_371.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_makes_a_sound_mesh() {
        for seed in 0..500 {
            let topology = topology(&mut Dice::new(seed)).expect("sound files");
            assert!(topology.edges().count() >= 3, "seed {seed}");
        }
    }
}
