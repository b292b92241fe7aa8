//! The page, and what is asked of an edge over plain HTTP.

use reqwest::Response;
use reqwest::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use sluice_types::access::Role;
use sluice_types::rest::Problem;

use crate::client::Joined;
use crate::edge::{Edge, within};
use crate::token::claims;

async fn get(edge: &Edge, path: &str) -> Response {
    within(reqwest::get(edge.url(path)))
        .await
        .expect("an answer")
}

fn header(answer: &Response, name: reqwest::header::HeaderName) -> &str {
    let value = answer.headers().get(&name);
    value
        .unwrap_or_else(|| panic!("{name} is missing"))
        .to_str()
        .expect("text")
}

#[tokio::test]
async fn the_page_is_served_at_its_addresses_and_cached_as_it_may_be() {
    let (edge, _line) = Edge::start().await;
    let mut page = String::new();
    for path in ["/", "/m/mtg_aaaaaaaaaaaaaaaa", "/?as=203.0.113.1"] {
        let answer = get(&edge, path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, CONTENT_TYPE), "text/html");
        assert_eq!(header(&answer, CACHE_CONTROL), "no-cache");
        assert_eq!(header(&answer, X_CONTENT_TYPE_OPTIONS), "nosniff");
        let policy = header(&answer, CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe-eval"), "{policy}");
        let tag = header(&answer, ETAG).to_owned();
        let again = reqwest::Client::new()
            .get(edge.url(path))
            .header(IF_NONE_MATCH, tag)
            .send();
        assert_eq!(within(again).await.expect("an answer").status(), 304);
        page = within(answer.text()).await.expect("text");
    }
    let (_, script) = page.split_once("src=\"/assets/").unwrap_or_else(|| {
        panic!("the page has a script of its own: {page}");
    });
    let (script, _) = script.split_once('"').expect("quoted");
    let answer = get(&edge, &format!("/assets/{script}")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, CONTENT_TYPE), "text/javascript");
    let caching = header(&answer, CACHE_CONTROL);
    assert!(caching.contains("immutable"), "{caching}");
    edge.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let (edge, _line) = Edge::start().await;
    for path in [
        "/no-such",
        "/assets/../index.html",
        "/assets/",
        "/v1/no-such",
    ] {
        let answer = get(&edge, path).await;
        // A client library may tidy the path before it asks.
        if answer.url().path() == "/index.html" {
            continue;
        }
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(header(&answer, CONTENT_TYPE), "application/problem+json");
        let problem: Problem = within(answer.json()).await.expect("a problem");
        assert_eq!(problem.status, 404);
    }
}

#[tokio::test]
async fn an_edge_is_healthy_at_once_and_ready_with_its_keys() {
    let edge = Edge::unregistered(|_| {}).await;
    assert_eq!(get(&edge, "/healthz").await.status(), 200);
    for path in ["/readyz", "/config.json"] {
        let answer = get(&edge, path).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(header(&answer, CONTENT_TYPE), "application/problem+json");
    }
    let _line = edge.register().await;
    edge.until("/readyz", 200).await;
    let config: serde_json::Value = within(get(&edge, "/config.json").await.json())
        .await
        .expect("JSON");
    let expected = serde_json::json!({
        "coordinator": "http://coordinator.example",
        "edge": "paris-1",
        "region": "paris",
        "dev": true,
    });
    assert_eq!(config, expected);
}

#[tokio::test]
async fn metrics_are_rendered() {
    let (edge, _line) = Edge::start().await;
    Joined::new(&edge, &claims(1, Role::Viewer)).await;
    let answer = get(&edge, "/metrics").await;
    assert_eq!(answer.status(), 200);
    assert!(header(&answer, CONTENT_TYPE).starts_with("text/plain"));
}
