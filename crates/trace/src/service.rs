//! What one process tells of its spans.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, TraceContextExt as _, TracerProvider as _};
use opentelemetry::trace::{SpanId, SpanKind, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use sluice_types::trace::TraceParent;
use thiserror::Error;

use crate::endpoint::Endpoint;
use crate::sending::Sending;
use crate::span::Trace;

/// Spans that wait to be told; those of a thousand joins. Beyond that new ones are lost.
const QUEUE: usize = 8_192;

/// How many are told at once.
const BATCH: usize = 512;

/// How long a span waits for others to be told with it.
const DELAY: Duration = Duration::from_secs(2);

/// Why nothing is told.
#[derive(Debug, Error)]
pub enum TraceError {
    /// There is no HTTP client.
    #[error("the HTTP client for OTLP: {0}")]
    Client(reqwest::Error),
    /// The exporter does not start.
    #[error("OTLP: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Who tells.
#[derive(Debug, Clone)]
pub struct Service {
    /// `service.name`, such as `sluice-edge`.
    pub name: &'static str,
    /// `service.instance.id`: which of them.
    pub instance: String,
    /// `service.version`.
    pub version: &'static str,
}

/// Begins traces, or none. Clones tell together.
#[derive(Debug, Clone, Default)]
pub struct Tracing(Option<On>);

#[derive(Debug, Clone)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Tracing {
    /// Tells `endpoint`, when there is one, of `permille` of a thousand traces that begin here, and of
    /// those that others began and follow on here. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the exporter does not start. It starts whether or not the collector is there.
    pub fn start(
        endpoint: Option<&Endpoint>,
        permille: u16,
        service: Service,
    ) -> Result<Self, TraceError> {
        let Some(endpoint) = endpoint else {
            return Ok(Self::default());
        };
        for result in ["taken", "refused", "failed"] {
            // Rates see a step only in a series that was there before.
            metrics::counter!("sluice_otlp_requests_total", "result" => result).absolute(0);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sending::new().map_err(TraceError::Client)?)
            .with_endpoint(endpoint.traces())
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor);
        Ok(Self::with(provider, permille, service))
    }

    pub(crate) fn with(
        provider: opentelemetry_sdk::trace::TracerProviderBuilder,
        permille: u16,
        service: Service,
    ) -> Self {
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", service.name),
                KeyValue::new("service.namespace", "sluice"),
                KeyValue::new("service.instance.id", service.instance),
                KeyValue::new("service.version", service.version),
            ])
            .build();
        let chosen = Sampler::TraceIdRatioBased(f64::from(permille) / 1_000.0);
        let provider = provider
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(chosen)))
            .build();
        let tracer = provider.tracer("sluice");
        Self(Some(On { provider, tracer }))
    }

    /// A trace that begins here at `at`, if it is chosen.
    #[must_use]
    pub fn begin(&self, name: &'static str, at: SystemTime) -> Trace {
        self.trace(name, &Context::new(), at)
    }

    /// The part of a trace here that follows `parent`, from `at` on. Whoever began it has chosen it.
    #[must_use]
    pub fn follow(&self, parent: Option<TraceParent>, name: &'static str, at: SystemTime) -> Trace {
        let Some(parent) = parent else {
            return Trace::none();
        };
        let before = SpanContext::new(
            TraceId::from(parent.trace()),
            SpanId::from(parent.span()),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        self.trace(name, &Context::new().with_remote_span_context(before), at)
    }

    fn trace(&self, name: &'static str, context: &Context, at: SystemTime) -> Trace {
        self.0.as_ref().map_or_else(Trace::none, |on| {
            Trace::start(on.tracer.clone(), SpanKind::Server, name, context, at)
        })
    }

    /// Tells what waits, and nothing more afterwards. Blocks for up to some seconds.
    pub fn stop(self) {
        if let Some(on) = self.0 {
            // Whether the collector took it is counted.
            let _ = on.provider.shutdown();
        }
    }
}
