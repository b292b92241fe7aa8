//! The meeting page, embedded in the binary.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Serialize;

use super::{App, problem};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist"]
struct Page;

/// What the page may load and talk to: itself, and coordinators and edges wherever they are.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' \
     'unsafe-inline'; img-src 'self' data:; media-src 'self' blob: mediastream:; connect-src *; \
     base-uri 'none'; form-action 'none'; frame-ancestors *";

/// What the page needs to know of where it is.
#[derive(Serialize)]
pub(super) struct PageConfig {
    coordinator: String,
    edge: String,
    region: String,
    dev: bool,
}

/// `GET /config.json`.
pub(super) async fn config(State(app): State<App>) -> Response {
    let coordinator = app
        .coordinator_url
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let Some(coordinator) = coordinator else {
        return problem(503, "not-registered", "the coordinator is not known yet");
    };
    let config = PageConfig {
        coordinator,
        edge: app.config.edge.to_string(),
        region: app.config.region.to_string(),
        dev: app.config.dev,
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(config)).into_response()
}

/// A file of the page; meetings have addresses of their own, which all are the one page.
pub(super) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (name, hashed) = match path {
        "" => ("index.html", false),
        path if path.starts_with("m/") => ("index.html", false),
        path => (path, path.starts_with("assets/")),
    };
    match Page::get(name) {
        Some(file) => respond(name, &file, hashed, &headers),
        None => problem(404, "not-found", "no such page"),
    }
}

fn respond(name: &str, file: &EmbeddedFile, hashed: bool, headers: &HeaderMap) -> Response {
    let tag: String = file.metadata.sha256_hash()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    // A file with its hash in its name never changes; the others are asked about each time.
    let caching = if hashed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.data.to_vec().into_response()
    };
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind.as_ref()),
        (header::CACHE_CONTROL, caching),
        (header::ETAG, &tag),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            fields.insert(name, value);
        }
    }
    response
}
