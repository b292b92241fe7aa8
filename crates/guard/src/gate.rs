//! The door of an HTTP listener: counts connections, and waits for none for long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::connections::{Connections, Permit};

/// How long the head of a request may take, from the moment that one can be sent.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// As many bytes of a connection tell HTTP/1 from HTTP/2, for which the server waits without an end
/// of its own (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;

/// Lets connections through to `inner`, such as a TLS acceptor with a time limit of its own, while
/// there are not too many. Others are closed at once, and counted in
/// `sluice_refused_connections_total`.
#[derive(Clone)]
pub struct Gate<A> {
    inner: A,
    connections: Connections,
}

impl<A> Gate<A> {
    /// In front of `inner`.
    pub const fn new(inner: A, connections: Connections) -> Self {
        Self { inner, connections }
    }
}

impl<A, S> Accept<TcpStream, S> for Gate<A>
where
    A: Accept<TcpStream, S> + Clone + Send + 'static,
    A::Future: Send,
    A::Stream: Send,
    A::Service: Send,
    S: Send + 'static,
{
    type Stream = Guarded<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, A::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = stream.peer_addr().and_then(|from| {
            self.connections.take(from.ip()).map_err(|crowded| {
                metrics::counter!(
                    "sluice_refused_connections_total",
                    "listener" => "http", "crowded" => crowded.as_str()
                )
                .increment(1);
                io::ErrorKind::ConnectionRefused.into()
            })
        });
        let inner = self.inner.clone();
        Box::pin(async move {
            let permit = permit?;
            let (stream, service) = inner.accept(stream, service).await?;
            let guarded = Guarded {
                stream,
                beginning: Some((Box::pin(sleep(HEAD_TIMEOUT)), 0)),
                _permit: permit,
            };
            Ok((guarded, service))
        })
    }
}

/// A connection that is counted, and that fails when its first bytes do not come in time.
pub struct Guarded<S> {
    stream: S,
    /// How long the first bytes may still take, and how many have come.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
    _permit: Permit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some((end, come)) = &mut self.beginning {
            *come += buffer.filled().len() - before;
            if *come >= PREFACE_BYTES {
                self.beginning = None;
            } else if read.is_pending() && end.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Has the server give up connections whose next request does not come in time.
pub fn be_impatient<A>(server: &mut Server<std::net::SocketAddr, A>) {
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(HEAD_TIMEOUT)
        .keep_alive_timeout(HEAD_TIMEOUT);
}
