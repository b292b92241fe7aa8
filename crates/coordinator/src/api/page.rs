//! The live page of the mesh, embedded in the binary. It shows nothing without a token.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist-ops"]
struct Page;

/// The page loads and talks to where it came from, and nowhere else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// `GET /ops`.
pub(super) async fn moved() -> Redirect {
    Redirect::permanent("/ops/")
}

/// `GET /ops/…`.
pub(super) async fn file(uri: Uri) -> Response {
    let path = uri.path().strip_prefix("/ops/").unwrap_or_default();
    let name = if path.is_empty() { "index.html" } else { path };
    let Some(file) = Page::get(name) else {
        return Problem::not_found("no such page").into_response();
    };
    // All others have their hash in their name and never change.
    let caching = if name == "index.html" {
        "no-cache"
    } else {
        "public, max-age=31536000, immutable"
    };
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let mut response = file.data.into_owned().into_response();
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind.as_ref()),
        (header::CACHE_CONTROL, caching),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            fields.insert(name, value);
        }
    }
    response
}
