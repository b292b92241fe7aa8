//! Bodies in JSON, with faults that name the field, its value and what is allowed.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::problem::{Problem, field};
use crate::state::Shared;

/// A body; none at all is an empty one.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, shared).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body must be JSON: `Content-Type: application/json`",
            ));
        }
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let document: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-json", error.to_string()))?;
    serde_path_to_error::deserialize(&document).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let (name, value) = match unknown_field(&message) {
            // The path may end at the table that has the field, or at the field.
            Some(name) if path == "." => (name.to_owned(), document.get(name)),
            Some(name) if !path.ends_with(name) => {
                let table = find(&document, error.path());
                (
                    format!("{path}.{name}"),
                    table.and_then(|table| table.get(name)),
                )
            }
            _ => (path, find(&document, error.path())),
        };
        let value = value.map_or_else(|| "absent".to_owned(), Value::to_string);
        Problem::fields(vec![field(&name, value, allowed(&message))])
    })
}

fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// The part of a message that says what would be right.
fn allowed(message: &str) -> &str {
    message
        .split_once("expected ")
        .map_or(message, |(_, expected)| expected)
}

fn find<'a>(document: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(document, |at, segment| match segment {
        Segment::Map { key } => at.get(key),
        Segment::Seq { index } => at.get(index),
        Segment::Enum { .. } | Segment::Unknown => Some(at),
    })
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            _ => "bad-body",
        };
        Self::new(rejection.status(), kind, rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use sluice_types::rest::{CreateMeeting, JoinRequest};

    use super::*;

    async fn refused<T: DeserializeOwned>(body: &str) -> (u16, Value) {
        let problem = parse::<T>(body.as_bytes()).map(drop).expect_err("refused");
        let response = problem.into_response();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .expect("short");
        (status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    #[tokio::test]
    async fn faults_name_field_value_and_what_is_allowed() {
        for (body, field, value, allowed) in [
            (
                r#"{"settings":{"max_participants":"many"}}"#,
                "settings.max_participants",
                "\"many\"",
                "u32",
            ),
            (
                r#"{"titel":"x"}"#,
                "titel",
                "\"x\"",
                "one of `title`, `scheduled_at`, `settings`",
            ),
            (
                r#"{"settings":{"color":1}}"#,
                "settings.color",
                "1",
                "one of `max_participants`, `waiting_room`, `regions_allowed`, `regions_denied`",
            ),
        ] {
            let (status, problem) = refused::<CreateMeeting>(body).await;
            assert_eq!(status, 422, "{problem}");
            assert_eq!(problem["errors"][0]["field"], field);
            assert_eq!(problem["errors"][0]["value"], value);
            assert_eq!(problem["errors"][0]["allowed"], allowed);
        }
        let (_, problem) = refused::<JoinRequest>(r#"{"invite":"nonsense"}"#).await;
        assert_eq!(problem["errors"][0]["field"], "invite");
        let (status, problem) = refused::<JoinRequest>(r#"{"name":"#).await;
        assert_eq!((status, problem["title"].as_str()), (400, Some("bad json")));
    }
}
