//! Settings that are good, and settings that are not.

use super::*;

fn file() -> EdgeSettings {
    toml_edit::de::from_str(
        r#"
        edge = "paris-1"
        region = "paris"
        coordinator = "127.0.0.1:7400"
        backbone_endpoint = "paris-1.example:7409"
        sfu_endpoint = "https://paris-1.example/"
        advertise = ["192.0.2.1"]
        capacity = 5
        "#,
    )
    .expect("good settings")
}

#[test]
fn a_flag_wins_and_a_missing_flag_does_not_clobber_the_file() {
    let flags = EdgeSettings {
        capacity: Some(7),
        ..EdgeSettings::default()
    };
    let config = flags.or(file()).resolve().expect("complete");
    assert_eq!((config.capacity, config.edge.as_str()), (7, "paris-1"));
    assert_eq!(config.signal_endpoint, "wss://paris-1.example/v1/signal");
    assert_eq!(config.ice_tcp_port, Some(7_405));
    assert_eq!(config.coordinators, ["127.0.0.1:7400"]);
}

#[test]
fn several_coordinators_are_a_list_in_the_file() {
    let mut settings = file();
    settings.coordinator = None;
    let more: EdgeSettings =
        toml_edit::de::from_str("coordinator = [\"a:7400\", \"b:7400\"]").expect("a list");
    let config = settings.or(more).resolve().expect("complete");
    assert_eq!(config.coordinators, ["a:7400", "b:7400"]);
}

#[test]
fn faults_say_which_and_what_is_allowed() {
    let fault = |change: fn(&mut EdgeSettings)| {
        let mut settings = file();
        change(&mut settings);
        settings.resolve().expect_err("refused").to_string()
    };
    assert!(fault(|s| s.edge = None).contains("`edge` is not set"));
    assert!(fault(|s| s.coordinator = Some(vec![])).contains("`coordinator` is not set"));
    let twice = fault(|s| s.coordinator = Some(vec!["a:1".into(), "a:1".into()]));
    assert!(twice.contains("each once"), "{twice}");
    assert!(fault(|s| s.capacity = Some(0)).contains("allowed: 1 to 100000"));
    assert!(fault(|s| s.protocol_max = Some(3)).contains("allowed: 1 to 2"));
    assert!(fault(|s| s.sfu_endpoint = Some("paris".into())).contains("http:// or https://"));
    assert!(fault(|s| s.tls_cert = Some("c.pem".into())).contains("`tls_key`"));
    assert!(toml_edit::de::from_str::<EdgeSettings>("capasity = 5").is_err());
}
