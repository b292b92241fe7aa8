//! Where traces go.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use thiserror::Error;

/// The base URL of a collector, to which OTLP adds `/v1/traces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// A text is no [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("allowed: {}", Endpoint::ALLOWED)]
pub struct InvalidEndpoint;

impl Endpoint {
    /// What it may be, for people.
    pub const ALLOWED: &str = "an http:// or https:// URL such as http://127.0.0.1:4318";

    /// Where spans are posted.
    #[must_use]
    pub(crate) fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|_| InvalidEndpoint)?;
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        let bare = url.query().is_none() && url.fragment().is_none();
        (is_http && bare)
            .then_some(Self(url))
            .ok_or(InvalidEndpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_posted_below_the_collectors_url() {
        for (text, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://a.example/otlp/",
                "https://a.example/otlp/v1/traces",
            ),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.traces(), traces);
        }
        for text in [
            "",
            "127.0.0.1:4318",
            "grpc://a.example",
            "http://a.example?x=1",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(InvalidEndpoint), "{text}");
        }
    }
}
