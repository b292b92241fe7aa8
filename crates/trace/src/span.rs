//! One process's part in a trace: a span, and steps within it that follow each other.

use std::time::SystemTime;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use sluice_types::trace::TraceParent;

/// A part of a trace, or nothing. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Trace(Option<Box<Live>>);

#[derive(Debug)]
struct Live {
    tracer: SdkTracer,
    span: Span,
    began: SystemTime,
    /// When the latest step ended.
    reached: Option<SystemTime>,
}

impl Trace {
    /// Of what is not traced.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn start(
        tracer: SdkTracer,
        kind: SpanKind,
        name: &'static str,
        context: &Context,
        at: SystemTime,
    ) -> Self {
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(at);
        let span = tracer.build_with_context(builder, context);
        if !span.span_context().is_sampled() {
            return Self(None);
        }
        Self(Some(Box::new(Live {
            tracer,
            span,
            began: at,
            reached: None,
        })))
    }

    /// Whether anything is told.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.0.is_some()
    }

    /// What others follow.
    #[must_use]
    pub fn parent(&self) -> Option<TraceParent> {
        let context = self.0.as_ref()?.span.span_context();
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        TraceParent::new(trace, u64::from_be_bytes(context.span_id().to_bytes()))
    }

    /// A step is done now, which began when the one before was done.
    pub fn step(&mut self, name: &'static str) {
        self.step_until(name, SystemTime::now());
    }

    /// As [`Self::step`], at another time; one before the latest counts as that.
    pub fn step_until(&mut self, name: &'static str, until: SystemTime) {
        let Some(live) = &mut self.0 else {
            return;
        };
        let from = live.reached.unwrap_or(live.began);
        let until = until.max(from);
        let within = Context::new().with_remote_span_context(live.span.span_context().clone());
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(from);
        let mut step = live.tracer.build_with_context(builder, &within);
        step.end_with_timestamp(until);
        live.reached = Some(until);
    }

    /// Says more of it.
    pub fn say(&mut self, key: &'static str, value: impl ToString) {
        if let Some(live) = &mut self.0 {
            live.span
                .set_attribute(KeyValue::new(key, value.to_string()));
        }
    }

    /// It came to nothing, and why.
    pub fn fail(&mut self, why: impl ToString) {
        if let Some(live) = &mut self.0 {
            live.span.set_status(Status::error(why.to_string()));
        }
    }

    /// Ends it with its latest step, or now when it has none.
    pub fn end(&mut self) {
        if let Some(mut live) = self.0.take() {
            let end = live.reached.unwrap_or_else(SystemTime::now);
            live.span.end_with_timestamp(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

    use super::*;
    use crate::{Service, Tracing};

    fn tracing(permille: u16) -> (Tracing, InMemorySpanExporter) {
        let told = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(told.clone());
        let service = Service {
            name: "sluice-test",
            instance: "one".to_owned(),
            version: "0",
        };
        (Tracing::with(provider, permille, service), told)
    }

    fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("{name} in {spans:?}"))
    }

    #[test]
    fn steps_follow_each_other_and_another_process_follows_on() {
        let (tracing, told) = tracing(1_000);
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(1_000 + ms);
        let mut first = tracing.begin("join", at(0));
        first.step_until("admission", at(3));
        first.step_until("token", at(5));
        let parent = first.parent().expect("it is told");
        first.end();
        let mut second = tracing.follow(Some(parent), "session", at(20));
        second.step_until("websocket", at(25));
        // A clock that went back does not make a step end before it began.
        second.step_until("ice", at(24));
        second.fail("nobody came");
        drop(second);
        let spans = told.get_finished_spans().expect("told");
        let [join, token, session, ice] =
            ["join", "token", "session", "ice"].map(|name| named(&spans, name));
        assert_eq!(spans.len(), 6);
        let trace = join.span_context.trace_id();
        assert!(
            spans
                .iter()
                .all(|span| span.span_context.trace_id() == trace)
        );
        assert_eq!(token.parent_span_id, join.span_context.span_id());
        assert_eq!(session.parent_span_id, join.span_context.span_id());
        assert!(session.parent_span_is_remote);
        assert_eq!(ice.parent_span_id, session.span_context.span_id());
        assert_eq!((token.start_time, token.end_time), (at(3), at(5)));
        assert_eq!((ice.start_time, ice.end_time), (at(25), at(25)));
        assert_eq!(join.end_time, at(5));
        assert_eq!(session.status, Status::error("nobody came"));
    }

    #[test]
    fn what_is_not_chosen_or_turned_off_is_not_told() {
        let (never, told) = tracing(0);
        for tracing in [never, Tracing::default()] {
            let mut trace = tracing.begin("join", SystemTime::now());
            trace.step("admission");
            assert_eq!((trace.is_live(), trace.parent()), (false, None));
            assert!(!tracing.follow(None, "session", SystemTime::now()).is_live());
        }
        assert!(told.get_finished_spans().expect("told").is_empty());
    }
}
