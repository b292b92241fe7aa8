//! The interface described for programs, and that description as a page.

use axum::response::{Html, IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");
const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    ([("content-type", "application/json")], DOCUMENT).into_response()
}

/// `GET /docs`.
pub(super) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// `GET /docs.js`.
pub(super) async fn script() -> Response {
    ([("content-type", "text/javascript")], SCRIPT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The routes are read from the router's own source, so that none is forgotten on either side.
    #[test]
    fn every_route_is_described_and_nothing_else() {
        let source = include_str!("mod.rs");
        let routed: BTreeSet<_> = source
            .split(".route(")
            .skip(1)
            .filter_map(|rest| rest.split('"').nth(1))
            .map(str::to_owned)
            .collect();
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert_eq!(routed, described);
        for (path, methods) in document["paths"].as_object().expect("an object") {
            for (method, operation) in methods.as_object().expect("an object") {
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert!(operation["responses"].is_object(), "{method} {path}");
            }
        }
    }
}
