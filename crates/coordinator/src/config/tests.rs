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
