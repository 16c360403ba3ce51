//! Makes one connection: resolve, TCP, proxy, TLS, WebSocket upgrade; all within one time limit.

use super::proxy::{Proxy, ProxyKind, split_host_port};
use super::{BoxedStream, Link, Trust, TrustError};
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, ORIGIN, USER_AGENT};
use tokio_tungstenite::tungstenite::{Error as WsError, http::Uri};
use whatsio_core::api::Endpoint;

/// How connections are made: whom to trust, through which proxy, how long to try.
#[derive(Clone, Debug)]
pub struct Transport {
    trust: Trust,
    proxy: Option<Proxy>,
    patience: Duration,
    user_agent: Option<HeaderValue>,
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The endpoint's URL is not a `ws` or `wss` URL with a host.
    #[error("{0:?} is not a ws:// or wss:// URL")]
    BadUrl(String),
    /// The `Origin` cannot be sent in a header.
    #[error("the origin cannot be sent as a header")]
    BadOrigin,
    /// The name did not resolve.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the host took the connection.
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The last address's error.
        source: io::Error,
    },
    /// The connection to the proxy broke while it was asked.
    #[error("the connection to the proxy broke: {0}")]
    Proxy(io::Error),
    /// The proxy said no.
    #[error("the proxy refused: {0}")]
    ProxyRefused(String),
    /// The TLS handshake failed: untrusted certificate, wrong name, no common version.
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    /// The server answered the upgrade with another status than 101.
    #[error("the server answered the WebSocket upgrade with status {0}")]
    UpgradeRefused(u16),
    /// The upgrade broke or is not a WebSocket answer.
    #[error("the WebSocket upgrade failed: {0}")]
    Upgrade(String),
    /// All together took longer than the limit.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

impl Transport {
    /// Connects directly, trusts the public web's roots, gives up after 20 seconds.
    ///
    /// # Errors
    /// [`TrustError::Library`] when TLS cannot be set up.
    pub fn new() -> Result<Self, TrustError> {
        Ok(Self { trust: Trust::with_pems([])?, proxy: None, patience: Duration::from_secs(20), user_agent: None })
    }

    /// Replaces the trusted certificates.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Goes through a proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sends this `User-Agent`; by default none is sent. Text that cannot be a header is ignored.
    #[must_use]
    pub fn with_user_agent(mut self, text: &str) -> Self {
        self.user_agent = HeaderValue::from_str(text).ok();
        self
    }

    /// Gives up when a connection is not up after `patience`, all steps together.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes a connection to `endpoint`. Dropping the future gives up and closes whatever is half open.
    ///
    /// # Errors
    /// [`DialError`] says which step failed.
    pub async fn dial(&self, endpoint: &Endpoint) -> Result<Link, DialError> {
        match timeout(self.patience, self.dial_patiently(endpoint)).await {
            Ok(result) => result,
            Err(_) => Err(DialError::TimedOut(self.patience)),
        }
    }

    async fn dial_patiently(&self, endpoint: &Endpoint) -> Result<Link, DialError> {
        let target = Target::parse(&endpoint.url)?;
        let mut request = endpoint.url.as_str().into_client_request().map_err(|_| bad_url(&endpoint.url))?;
        if !endpoint.origin.is_empty() {
            let origin = HeaderValue::from_str(&endpoint.origin).map_err(|_| DialError::BadOrigin)?;
            request.headers_mut().insert(ORIGIN, origin);
        }
        if let Some(agent) = &self.user_agent {
            request.headers_mut().insert(USER_AGENT, agent.clone());
        }
        let stream = self.reach(&target).await?;
        let stream = if target.tls { self.wrap_tls(stream, &target.host).await? } else { stream };
        let config = Some(Link::limits());
        match client_async_with_config(request, stream, config).await {
            Ok((socket, _)) => Ok(Link::new(socket)),
            Err(WsError::Http(answer)) => Err(DialError::UpgradeRefused(answer.status().as_u16())),
            Err(error) => Err(DialError::Upgrade(error.to_string())),
        }
    }

    /// A byte stream to the target: directly, or through the proxy.
    async fn reach(&self, target: &Target) -> Result<BoxedStream, DialError> {
        let Some(proxy) = &self.proxy else {
            return Ok(Box::new(connect_tcp(&target.host, target.port).await?));
        };
        let tcp = connect_tcp(&proxy.host, proxy.port).await?;
        let stream: BoxedStream = Box::new(tcp);
        let stream = match proxy.kind {
            ProxyKind::Https => self.wrap_tls(stream, &proxy.host).await?,
            ProxyKind::Http | ProxyKind::Socks5 => stream,
        };
        proxy.greet(stream, &target.host, target.port).await
    }

    async fn wrap_tls(&self, stream: BoxedStream, host: &str) -> Result<BoxedStream, DialError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| DialError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream = TlsConnector::from(self.trust.config()).connect(name, stream).await.map_err(DialError::Tls)?;
        Ok(Box::new(stream))
    }
}

/// Where a URL leads.
struct Target {
    tls: bool,
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str) -> Result<Self, DialError> {
        let uri: Uri = url.parse().map_err(|_| bad_url(url))?;
        let tls = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(bad_url(url)),
        };
        let (host, _) = uri.host().and_then(split_host_port).ok_or_else(|| bad_url(url))?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

fn bad_url(url: &str) -> DialError {
    DialError::BadUrl(url.to_owned())
}

/// Tries every address of the host in turn; each gets a share of the patience, so that one dead address (often IPv6)
/// does not use it up.
async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let addresses =
        lookup_host((host, port)).await.map_err(|source| DialError::Resolve { host: host.to_owned(), source })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(PER_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Frames are small and answers are awaited: a delayed send costs a round trip.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY is not available");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer from this address"),
        }
    }
    Err(DialError::Connect { host: host.to_owned(), port, source: last })
}

const PER_ADDRESS: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_host_and_port() {
        for (url, tls, host, port) in [
            ("wss://web.whatsapp.com/ws/chat", true, "web.whatsapp.com", 443),
            ("ws://localhost", false, "localhost", 80),
            ("ws://127.0.0.1:5222/x?y=z", false, "127.0.0.1", 5222),
            ("wss://[::1]:8443/ws", true, "::1", 8443),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.tls, target.host.as_str(), target.port), (tls, host, port), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["", "web.whatsapp.com", "http://web.whatsapp.com", "wss://", "ws:///path"] {
            assert!(matches!(Target::parse(url), Err(DialError::BadUrl(_))), "{url}");
        }
    }
}
