//! From a request to a WebSocket (RFC 6455, section 4.2).

use axum::body::Body;
use axum::extract::ws::rejection::{ConnectionNotUpgradable, WebSocketUpgradeRejection};
use axum::extract::{FromRequestParts, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::frames::Frames;

/// A connection that may become a WebSocket.
pub(crate) struct Upgrade {
    connection: OnUpgrade,
    key: HeaderValue,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let connection = parts.extensions.get::<OnUpgrade>().cloned();
        // Says what is wrong with the request, if anything is; the rest of it is not needed.
        let _ = WebSocketUpgrade::from_request_parts(parts, state).await?;
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        // HTTP/2 has no key, and none of these sockets.
        let (Some(connection), Some(key)) = (connection, key) else {
            return Err(ConnectionNotUpgradable::default().into());
        };
        Ok(Self { connection, key })
    }
}

impl Upgrade {
    /// The answer; `serve` gets the socket once the client has it. `protocol` is told where it was offered.
    pub(super) fn accept<F>(
        self,
        headers: &HeaderMap,
        protocol: &'static str,
        serve: impl FnOnce(Frames) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let told = response.headers_mut();
        told.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        told.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = derive_accept_key(self.key.as_bytes());
        if let Ok(accept) = HeaderValue::try_from(accept) {
            told.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        let offered = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        if offered.map(str::trim).any(|offered| offered == protocol) {
            let protocol = HeaderValue::from_static(protocol);
            told.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        tokio::spawn(async move {
            match self.connection.await {
                Ok(connection) => serve(Frames::new(TokioIo::new(connection)).await).await,
                Err(error) => tracing::debug!(%error, "a client left before its upgrade"),
            }
        });
        response
    }
}
