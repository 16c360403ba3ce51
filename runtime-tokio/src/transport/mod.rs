//! Carries bytes between the core and a WebSocket server: name, TCP, proxy, TLS, upgrade, messages.
//!
//! It knows nothing of what the bytes mean, never reconnects and never decides: the core says when to open and close.

mod dial;
mod link;
mod proxy;
mod trust;

pub use dial::{DialError, Transport};
pub use link::{Link, LinkEvent};
pub use proxy::{Proxy, ProxyError};
pub use trust::{Trust, TrustError};

use tokio::io::{AsyncRead, AsyncWrite};

/// Any byte stream a connection may run over.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type BoxedStream = Box<dyn Duplex>;
