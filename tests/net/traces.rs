//! A join as one trace over the processes that it passes, at a real receiver of OTLP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sluice_tests::client::PATIENCE;
use sluice_tests::mesh::TestMesh;
use sluice_tests::participant::Participant;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A span, and which service told it.
#[derive(Debug, Clone)]
struct Told {
    service: String,
    span: Span,
}

#[derive(Clone, Default)]
struct Collector {
    told: Arc<Mutex<Vec<Told>>>,
    news: Arc<Notify>,
}

fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|found| found.value.as_ref()?.value.clone());
    match value {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

async fn receive(State(to): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    for resource in request.resource_spans {
        let attributes = resource.resource.expect("a resource").attributes;
        let name = value(&attributes, "service.name");
        let service = format!("{name} {}", value(&attributes, "service.instance.id"));
        let spans = resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        to.told
            .lock()
            .expect("no panic")
            .extend(spans.map(|span| Told {
                service: service.clone(),
                span,
            }));
    }
    to.news.notify_one();
    StatusCode::OK
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let app = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (collector, url)
    }

    /// The spans, by their names, of traces that reached this one.
    async fn traces_with(&self, last: &str) -> Vec<BTreeMap<String, Told>> {
        loop {
            let mut traces = BTreeMap::<Vec<u8>, BTreeMap<String, Told>>::new();
            for told in self.told.lock().expect("no panic").iter() {
                let trace = traces.entry(told.span.trace_id.clone()).or_default();
                let twice = trace.insert(told.span.name.clone(), told.clone());
                assert!(twice.is_none(), "{twice:?}");
            }
            let mut traces: Vec<_> = traces.into_values().collect();
            traces.retain(|trace| trace.contains_key(last) && trace.contains_key("token"));
            if !traces.is_empty() {
                return traces;
            }
            self.news.notified().await;
        }
    }
}

/// That the steps are of this span's service, in it, and follow each other within it.
fn steps(trace: &BTreeMap<String, Told>, of: &str, names: &[&str]) {
    let whole = &trace[of];
    let mut reached = whole.span.start_time_unix_nano;
    for name in names {
        let step = &trace[*name];
        assert_eq!(step.service, whole.service, "{name}");
        assert_eq!(step.span.parent_span_id, whole.span.span_id, "{name}");
        assert_eq!(step.span.start_time_unix_nano, reached, "{name}");
        reached = step.span.end_time_unix_nano;
    }
    assert_eq!(reached, whole.span.end_time_unix_nano, "{of}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_one_trace_from_the_request_to_the_first_media() {
    let (collector, url) = Collector::start().await;
    let mesh = TestMesh::start_told(Some(url)).await;
    let meeting = mesh.rest.meeting().await;
    let mut ada = Participant::enter(&mesh.rest.join(&meeting, "west", "Ada").await).await;
    let told = timeout(PATIENCE, collector.traces_with("session"));
    let traces = tokio::select! {
        () = ada.keep_sending(900) => unreachable!("it sends for ever"),
        told = told => told.expect("a whole trace"),
    };
    let [trace] = &traces[..] else {
        panic!("one join, and {traces:#?}");
    };
    assert_eq!(trace.len(), 10, "{trace:#?}");
    let (join, session) = (&trace["join"], &trace["session"]);
    assert!(join.service.starts_with("sluice-coordinator "), "{join:?}");
    assert_eq!(session.service, "sluice-edge west-1");
    assert!(join.span.parent_span_id.is_empty(), "it begins there");
    assert_eq!(session.span.parent_span_id, join.span.span_id);
    steps(trace, "join", &["admission", "edge_pick", "token"]);
    let edge = ["websocket", "offer_answer", "ice", "dtls", "first_media"];
    steps(trace, "session", &edge);
    for part in [join, session] {
        let attributes = &part.span.attributes;
        assert_eq!(value(attributes, "sluice.meeting"), meeting);
        assert_eq!(value(attributes, "sluice.edge"), "west-1");
    }
    assert_eq!(value(&join.span.attributes, "sluice.result"), "admitted");
}
