//! From an event to an answer of 2xx, or the end of patience.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Client, StatusCode};
use ring::hmac;
use sluice_types::ids::MeetingId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Event, Webhook, WebhookError};
use crate::store::Store;

/// Each receiver gets so many requests at once; a meeting's are all in one lane, hence in order.
const LANES: usize = 8;

/// Events that wait in a lane; more are dropped and counted.
const LANE_EVENTS: usize = 512;

/// How often an event is tried, how long to wait after the first try, doubled after each, and how
/// long an answer may take: a lane is held up by one event for a minute at most.
const TRIES: u32 = 6;
const BACKOFF: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(5);

/// What a try came to.
enum Tried {
    Delivered,
    /// Another try would end alike.
    Refused(StatusCode),
    Failed(String),
}

pub(super) fn count(result: &'static str) {
    metrics::counter!("sluice_coordinator_webhook_events_total", "result" => result).increment(1);
}

/// A client that goes where it is told to and nowhere else.
///
/// # Errors
/// When the system's certificates cannot be read.
fn client() -> Result<Client, WebhookError> {
    Ok(Client::builder()
        .timeout(ANSWER)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .build()?)
}

/// Deals events out to receivers, until the last handle is gone.
///
/// # Errors
/// When there can be no HTTP client.
pub(crate) fn run(
    hooks: Vec<Webhook>,
    store: Arc<dyn Store>,
    mut events: mpsc::Receiver<Event>,
) -> Result<impl Future<Output = ()> + Send, WebhookError> {
    let client = client()?;
    Ok(async move {
        // The lanes end with this task.
        let mut lanes_run = JoinSet::new();
        let mut receivers = Vec::with_capacity(hooks.len());
        for hook in hooks {
            let hook = Arc::new(hook);
            let lanes: Vec<_> = (0..LANES)
                .map(|_| {
                    let (lane, waiting) = mpsc::channel(LANE_EVENTS);
                    lanes_run.spawn(serve(client.clone(), hook.clone(), waiting));
                    lane
                })
                .collect();
            receivers.push((hook, lanes));
        }
        while let Some(mut event) = events.recv().await {
            if event.tenant.is_none() {
                event.tenant = tenant(&store, event.meeting_id.clone()).await;
            }
            let place = place(&event.meeting_id);
            let event = Arc::new(event);
            for (hook, lanes) in &receivers {
                if wants(hook, &event) && lanes[place].try_send(event.clone()).is_err() {
                    count("queue_full");
                }
            }
        }
    })
}

/// Nobody's, when the store does not know: then only receivers of everybody's are told.
async fn tenant(store: &Arc<dyn Store>, meeting: MeetingId) -> Option<String> {
    let store = store.clone();
    let found = tokio::task::spawn_blocking(move || store.meeting(&meeting)).await;
    found.ok()?.ok()?.map(|meeting| meeting.tenant)
}

fn place(meeting: &MeetingId) -> usize {
    let mut hasher = DefaultHasher::new();
    meeting.hash(&mut hasher);
    (hasher.finish() % LANES as u64) as usize
}

fn wants(hook: &Webhook, event: &Event) -> bool {
    let ours = hook.tenant.is_none() || hook.tenant == event.tenant;
    let kinds = hook.events.as_ref();
    ours && kinds.is_none_or(|kinds| kinds.contains(&event.kind))
}

async fn serve(client: Client, hook: Arc<Webhook>, mut waiting: mpsc::Receiver<Arc<Event>>) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, hook.secret.as_bytes());
    while let Some(event) = waiting.recv().await {
        count(deliver(&client, &hook.url, &key, &event).await);
    }
}

async fn deliver(client: &Client, url: &str, key: &hmac::Key, event: &Event) -> &'static str {
    let Ok(body) = serde_json::to_string(event) else {
        return "refused";
    };
    let mut wait = BACKOFF;
    for left in (0..TRIES).rev() {
        match attempt(client, url, key, event, body.clone()).await {
            Tried::Delivered => return "delivered",
            Tried::Refused(status) => {
                tracing::warn!(url, %status, event = event.id, "a webhook refuses an event");
                return "refused";
            }
            Tried::Failed(reason) if left == 0 => {
                tracing::warn!(
                    url,
                    reason,
                    event = event.id,
                    "a webhook does not take an event"
                );
            }
            Tried::Failed(reason) => {
                tracing::debug!(
                    url,
                    reason,
                    left,
                    event = event.id,
                    "a webhook is tried again"
                );
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
    }
    "gave_up"
}

async fn attempt(
    client: &Client,
    url: &str,
    key: &hmac::Key,
    event: &Event,
    body: String,
) -> Tried {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let signature = sign(key, now.unwrap_or_default().as_secs(), &body);
    let sent = client
        .post(url)
        .header("content-type", "application/json")
        .header("x-sluice-event", &event.id)
        .header("x-sluice-signature", signature)
        .body(body)
        .send()
        .await;
    match sent.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Tried::Delivered,
        Ok(status)
            if status.is_server_error()
                || status == StatusCode::REQUEST_TIMEOUT
                || status == StatusCode::TOO_MANY_REQUESTS =>
        {
            Tried::Failed(status.to_string())
        }
        Ok(status) => Tried::Refused(status),
        Err(error) => Tried::Failed(error.without_url().to_string()),
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA-256 of the seconds, a dot and the body. With the time in it, what was
/// recorded cannot be played again later.
fn sign(key: &hmac::Key, now_s: u64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{now_s}.{body}").as_bytes());
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={now_s},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_openssl() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac s3cret
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
        assert_eq!(sign(&key, 1_700_000_000, "{}"), OPENSSL);
    }

    const OPENSSL: &str =
        "t=1700000000,v1=97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf";
}
