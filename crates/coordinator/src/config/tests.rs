//! Settings that are good, and settings that are not.

use super::*;

fn settings() -> CoordinatorSettings {
    toml_edit::de::from_str(
        r#"
        api_keys = [{ id = "key", secret = "0123456789abcdef0123456789abcdef", tenant = "acme" }]
        requests_per_key = 7
        "#,
    )
    .expect("good settings")
}

#[test]
fn a_missing_flag_does_not_clobber_the_file() {
    let flags = CoordinatorSettings {
        requests_per_address: Some(3),
        ..CoordinatorSettings::default()
    };
    let config = flags.or(settings()).resolve().expect("complete");
    assert_eq!(
        (config.requests_per_address, config.requests_per_key),
        (3, 7)
    );
    assert!(
        !format!("{config:?}").contains("0123456789"),
        "secrets are not shown"
    );
}

#[test]
fn etcd_takes_the_place_of_the_file_and_unknown_keys_are_refused_all_the_same() {
    let mut etcd = settings();
    let read = |text: &str| toml_edit::de::from_str::<CoordinatorSettings>(text);
    let file =
        read("etcd_endpoints = [\"https://a:2379\"]\netcd_ca = \"ca.pem\"\netcd_lease_s = 3");
    etcd.etcd = file.expect("good settings").etcd;
    let StoreConfig::Etcd(config) = etcd.clone().resolve().expect("complete").store else {
        unreachable!("etcd is named")
    };
    assert_eq!((config.lease.as_secs(), &*config.prefix), (3, "sluice/"));
    let mut older = etcd.clone();
    older.protocol_max = Some(1);
    let refused = older.resolve().expect_err("nobody would say who leads");
    assert!(refused.to_string().contains("2 with etcd"), "{refused}");
    let mut both = etcd.clone();
    both.store = Some("a.redb".into());
    assert!(
        both.resolve()
            .expect_err("refused")
            .to_string()
            .contains("beside")
    );
    etcd.etcd.ca = None;
    assert!(matches!(
        etcd.resolve(),
        Err(ConfigError::Missing("etcd_ca"))
    ));
    for unknown in ["etcd_endpoint = \"a\"", "storre = \"a\"", "lease_s = 3"] {
        assert!(read(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn the_override_of_development_is_refused_where_others_could_use_it() {
    let mut open = settings();
    open.dev_client_override = Some(true);
    assert!(
        open.clone()
            .resolve()
            .expect_err("refused")
            .to_string()
            .contains("loopback")
    );
    open.http_listen = Some("127.0.0.1:7400".parse().expect("an address"));
    assert!(open.resolve().is_ok());
}

#[test]
fn a_weak_or_missing_key_is_refused() {
    let mut weak = settings();
    weak.api_keys = Some(vec!["key:short".parse().expect("a key")]);
    assert!(weak.resolve().is_err());
    assert!(matches!(
        CoordinatorSettings::default().resolve(),
        Err(ConfigError::Missing("api_keys"))
    ));
}
