//! The listeners of a relay: WebSocket on plain TCP and on TLS, and the control API.

use super::brain::{Brain, RelayHandle};
use super::{admin, certificate, upgrade};
use crate::clock::{Clock, fresh_seed};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use whatsio_core::relay::{Relay, RelayConfig};

/// Where a relay listens and how it behaves. Port 0 takes a free one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayOptions {
    /// Plain WebSocket; any path, any origin.
    pub ws: SocketAddr,
    /// WebSocket over TLS with a certificate made at start; `None` for no such port.
    pub wss: Option<SocketAddr>,
    /// The control API over HTTP. It links devices and cuts connections without asking who calls: keep it on loopback.
    pub admin: SocketAddr,
    /// Answer the control API on the WebSocket ports too, as other projects' test suites expect. Ignored for a port
    /// that is not on loopback.
    pub admin_beside_websocket: bool,
    /// Behaviour and limits of the relay itself.
    pub config: RelayConfig,
}

impl Default for RelayOptions {
    /// Free ports on 127.0.0.1, TLS included.
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            ws: loopback,
            wss: Some(loopback),
            admin: loopback,
            admin_beside_websocket: true,
            config: RelayConfig::default(),
        }
    }
}

/// Why a relay could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A port cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// The operating system offers no randomness.
    #[error("the operating system offers no randomness: {0}")]
    Entropy(getrandom::Error),
}

/// A running relay. It ends when this is dropped; [`shutdown`](Self::shutdown) also waits for that.
#[derive(Debug)]
pub struct RelayServer {
    ws: SocketAddr,
    wss: Option<SocketAddr>,
    admin: SocketAddr,
    root_key: [u8; 32],
    pem: Option<String>,
    handle: RelayHandle,
    listeners: JoinSet<()>,
}

impl RelayServer {
    /// Listens on all ports and starts the relay on the current runtime.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left running.
    pub async fn bind(options: RelayOptions) -> Result<Self, BindError> {
        let (ws_listener, ws) = listen(options.ws).await?;
        let (admin_listener, admin) = listen(options.admin).await?;
        let tls = match options.wss {
            None => None,
            Some(address) => {
                let (listener, wss) = listen(address).await?;
                let own = certificate::make(wss.ip()).map_err(BindError::Certificate)?;
                Some((listener, wss, own))
            }
        };
        let clock = Clock::start();
        let relay = Relay::new(options.config, fresh_seed().map_err(BindError::Entropy)?, clock.now());
        let root_key = relay.root_key();
        let handle = Brain::spawn(relay, clock);

        let control = admin::router(handle.clone(), root_key);
        let sockets = Router::new().fallback(upgrade::upgrade).with_state(handle.sender());
        let beside = |address: SocketAddr| {
            let shared = options.admin_beside_websocket && address.ip().is_loopback();
            if shared { sockets.clone().merge(control.clone()) } else { sockets.clone() }
        };
        let mut listeners = JoinSet::new();
        listeners.spawn(serve(ws_listener, None, beside(ws)));
        let mut server = Self { ws, wss: None, admin, root_key, pem: None, handle, listeners };
        if let Some((listener, wss, own)) = tls {
            server.wss = Some(wss);
            server.pem = Some(own.pem);
            server.listeners.spawn(serve(listener, Some(own.acceptor), beside(wss)));
        }
        server.listeners.spawn(serve(admin_listener, None, control.fallback(admin::not_found)));
        Ok(server)
    }

    /// URL for clients, without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/ws/chat", self.ws)
    }

    /// URL for clients, with TLS; trust [`certificate_pem`](Self::certificate_pem).
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.wss.map(|address| format!("wss://{address}/ws/chat"))
    }

    /// URL of the control API.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Public key that clients must take as the root of this relay's handshake certificates.
    #[must_use]
    pub const fn root_key(&self) -> [u8; 32] {
        self.root_key
    }

    /// The TLS certificate, for clients to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        self.pem.as_deref()
    }

    /// For calls from within the process: to play the phone, to look, to script faults.
    #[must_use]
    pub const fn handle(&self) -> &RelayHandle {
        &self.handle
    }

    /// Stops listening and cuts every connection.
    pub async fn shutdown(mut self) {
        self.listeners.shutdown().await;
        self.handle.stop().await;
    }
}

impl Drop for RelayServer {
    fn drop(&mut self) {
        self.listeners.abort_all();
        let handle = self.handle.clone();
        // The relay's task holds the sockets' senders, so it must be told; a runtime that is ending drops it anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { handle.stop().await });
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |source| BindError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Accepts connections for ever, each in a task of its own.
async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: accepting again at once would only spin.
                tracing::warn!(%error, "cannot accept");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            serve_connection(stream, tls, router).await;
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not available");
    }
    let Some(acceptor) = tls else { return serve_http(stream, router).await };
    match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_http(stream, router).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// HTTP requests being served at once on one port; upgraded ones count against the relay's own limit of links.
const CONNECTIONS: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(10);
