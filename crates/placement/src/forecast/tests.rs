use sluice_types::topology::Source;

use super::*;

const SCENE: Scene = Scene {
    people: 300,
    seed: 7,
    days_a_month: 20,
};

fn mesh(regions: &[(&str, f64, f64)], links: &[(&str, &str, u32)], capacity: u32) -> Topology {
    let names: Vec<_> = regions
        .iter()
        .map(|(name, ..)| format!("{name:?}"))
        .collect();
    let mut text = format!("name = \"test\"\nregions = [{}]\n", names.join(", "));
    for (a, b, millis) in links {
        text += &format!(
            "[[link]]\nends = [\"{a}\", \"{b}\"]\nround_trip_ms = {millis}\ncapacity_mbps = 500\ncost_per_gb = 0.05\n"
        );
    }
    let files: Vec<_> = regions
        .iter()
        .map(|(name, latitude, longitude)| {
            let text = format!(
                "display_name = \"{name}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\ndns = [\"{name}.example\"]\ncapacity = {capacity}\nedges = 1\n"
            );
            (format!("regions/{name}.toml"), text)
        })
        .collect();
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let mesh = Source {
        name: "topology.toml",
        text: &text,
    };
    Topology::parse(mesh, &sources).expect("a sound mesh")
}

const PARIS: (&str, f64, f64) = ("paris", 48.9, 2.4);
const VIRGINIA: (&str, f64, f64) = ("virginia", 39.0, -77.5);
const SINGAPORE: (&str, f64, f64) = ("singapore", 1.3, 103.8);

#[test]
fn equal_seeds_make_equal_forecasts_and_a_region_more_brings_people_nearer() {
    let links = [("paris", "virginia", 80)];
    let two = mesh(&[PARIS, VIRGINIA], &links, 1_000);
    let first = forecast(&two, &SCENE);
    assert_eq!(first, forecast(&two, &SCENE));
    assert_eq!((first.served, first.unserved), (300, 0));
    assert_eq!(first.people.values().sum::<usize>(), 300);
    let links = [("paris", "virginia", 80), ("paris", "singapore", 160)];
    let three = mesh(&[PARIS, VIRGINIA, SINGAPORE], &links, 1_000);
    let second = forecast(&three, &SCENE);
    assert!(second.distance_km.p90 < first.distance_km.p90);
    assert!(second.round_trip_ms.p50 < first.round_trip_ms.p50);
    let names = ["paris", "virginia"].map(|name| name.parse().expect("a name"));
    let [paris, virginia] = names;
    let delay = second.mouth_to_ear_ms[&(paris, virginia)].expect("a way");
    assert!(
        (126..250).contains(&delay),
        "{delay} ms: half of 80, and the ends"
    );
}

#[test]
fn what_a_link_costs_is_what_it_carries() {
    let links = [("paris", "singapore", 160)];
    let two = mesh(&[PARIS, SINGAPORE], &links, 1_000);
    let forecast = forecast(&two, &SCENE);
    let bps: u64 = forecast.links.values().map(|link| link.load.as_bps()).sum();
    assert!(bps > 0);
    let busiest = &forecast.day[Scene::busiest_hour() as usize];
    assert_eq!((busiest.people, busiest.unserved), (300, 0));
    let gigabytes = bps as f64 / 8e9 * 3_600.0;
    assert!((busiest.micro_usd as f64 - gigabytes * 0.05e6).abs() <= 2.0);
    let day: u128 = forecast.day.iter().map(|hour| hour.micro_usd).sum();
    assert_eq!(u128::from(forecast.usd_a_month), day * 20 / 1_000_000);
    let (_, share) = busiest.fullest.clone().expect("a link");
    assert!(share > 0.0);
    let quietest = forecast.day.iter().map(|hour| hour.people).min();
    assert!(quietest < Some(200), "the world sleeps in turns");
}

#[test]
fn a_change_moves_those_whom_it_concerns() {
    let links = [("paris", "virginia", 80)];
    let two = mesh(&[PARIS, VIRGINIA], &links, 1_000);
    assert_eq!(moves(&two, &two, &SCENE), Moves::default());
    let links = [("paris", "virginia", 80), ("paris", "singapore", 160)];
    let three = mesh(&[PARIS, VIRGINIA, SINGAPORE], &links, 1_000);
    let moved = moves(&two, &three, &SCENE);
    let singapore: RegionName = "singapore".parse().expect("a name");
    let at_singapore = forecast(&three, &SCENE).people[&singapore];
    let peak = Scene::busiest_hour();
    let at_peak = moves_at(&two, &three, &SCENE, peak).people;
    assert_eq!(at_peak, at_singapore, "nobody else has a nearer edge");
    assert!(
        moved.people >= at_peak && moved.hour != peak,
        "Asia is awake before Europe"
    );
    assert!((1..=moved.people).contains(&moved.meetings));
    // A shorter way between the same edges moves nobody, and tracks take it.
    let shorter = [
        ("paris", "virginia", 80),
        ("paris", "singapore", 160),
        ("virginia", "singapore", 90),
    ];
    let shorter = mesh(&[PARIS, VIRGINIA, SINGAPORE], &shorter, 1_000);
    let moved = moves(&three, &shorter, &SCENE);
    assert_eq!((moved.people, moved.meetings), (0, 0));
    assert!(moved.rerouted > 0);
}

#[test]
fn failures_say_who_is_cut_off_and_who_finds_no_place() {
    let two = mesh(&[PARIS, VIRGINIA], &[("paris", "virginia", 80)], 200);
    let forecast = forecast(&two, &SCENE);
    assert_eq!(forecast.unserved, 0, "both together have room");
    let [link, paris, virginia] = &forecast.failures[..] else {
        unreachable!("one link, two regions: {:?}", forecast.failures)
    };
    assert!(link.broken["unreachable"] > 0, "the only link");
    assert!(link.hurts());
    for region in [paris, virginia] {
        assert_eq!(region.unserved, 100, "{}", region.what);
        assert!(region.moved >= 100);
        assert!(!region.broken.contains_key("unreachable"));
    }
    let third = mesh(
        &[PARIS, VIRGINIA, SINGAPORE],
        &[
            ("paris", "virginia", 80),
            ("paris", "singapore", 160),
            ("virginia", "singapore", 220),
        ],
        1_000,
    );
    let sound = super::forecast(&third, &SCENE);
    assert!(
        sound
            .failures
            .iter()
            .all(|failed| failed.unserved == 0 && !failed.broken.contains_key("unreachable")),
        "{:?}",
        sound.failures
    );
}
