//! Proxies: the parsed URL, and the two greetings (HTTP CONNECT, SOCKS5) that turn a connection to a proxy into one to
//! the server.

use super::{BoxedStream, DialError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::str::FromStr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_socks::tcp::Socks5Stream;
use zeroize::Zeroizing;

/// Where and how to reach a proxy, parsed from a URL such as `http://user:password@host:3128` or `socks5://host:1080`.
///
/// The proxy resolves the server's name for every scheme, so that no name leaks to the local resolver.
#[derive(Clone)]
pub struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    /// HTTP CONNECT over plain TCP.
    Http,
    /// HTTP CONNECT over TLS.
    Https,
    /// SOCKS version 5.
    Socks5,
}

#[derive(Clone)]
struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

/// Why a text is not the URL of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Only `http`, `https`, `socks5` and `socks5h` are spoken.
    #[error("the proxy's scheme must be http, https, socks5 or socks5h")]
    Scheme,
    /// There is no host, or the brackets of an IPv6 address do not match.
    #[error("the proxy URL names no host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the proxy's port must be a number from 1 to 65535")]
    Port,
    /// A `%` in user or password is not followed by two hex digits, or they are not UTF-8.
    #[error("the proxy's user or password is not percent-encoded")]
    Credentials,
    /// There is something behind the port.
    #[error("a proxy URL has no path")]
    Path,
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        let (kind, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 8080),
            "https" => (ProxyKind::Https, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            _ => return Err(ProxyError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The last `@`: users paste passwords unencoded.
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((before, after)) => (Some(Credentials::parse(before)?), after),
            None => (None, rest),
        };
        if address.contains(['/', '?', '#']) {
            return Err(ProxyError::Path);
        }
        let (host, port) = split_host_port(address).ok_or(ProxyError::Host)?;
        let port = match port {
            None => usual_port,
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port != 0 => port,
                _ => return Err(ProxyError::Port),
            },
        };
        Ok(Self { kind, host: host.to_owned(), port, credentials })
    }
}

impl Credentials {
    fn parse(text: &str) -> Result<Self, ProxyError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self { user: percent_decode(user)?, password: percent_decode(password)? })
    }
}

/// Shows where the proxy is, never the user or the password.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let login = if self.credentials.is_some() { "..@" } else { "" };
        write!(f, "Proxy({:?} {login}{}:{})", self.kind, self.host, self.port)
    }
}

impl Proxy {
    /// Asks the proxy at the other end of `stream` for a connection to `host:port`.
    pub(super) async fn greet(&self, mut stream: BoxedStream, host: &str, port: u16) -> Result<BoxedStream, DialError> {
        match self.kind {
            ProxyKind::Http | ProxyKind::Https => {
                self.connect_http(&mut stream, host, port).await?;
                Ok(stream)
            }
            ProxyKind::Socks5 => self.connect_socks(stream, host, port).await,
        }
    }

    async fn connect_http(&self, stream: &mut BoxedStream, host: &str, port: u16) -> Result<(), DialError> {
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(login) = &self.credentials {
            let pair = Zeroizing::new(format!("{}:{}", *login.user, *login.password));
            let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&encoded);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(DialError::Proxy)?;
        stream.flush().await.map_err(DialError::Proxy)?;
        match read_connect_status(stream).await? {
            200..=299 => Ok(()),
            status => Err(DialError::ProxyRefused(format!("status {status}"))),
        }
    }

    async fn connect_socks(&self, stream: BoxedStream, host: &str, port: u16) -> Result<BoxedStream, DialError> {
        let greeted = match &self.credentials {
            None => Socks5Stream::connect_with_socket(stream, (host, port)).await,
            Some(login) => {
                Socks5Stream::connect_with_password_and_socket(stream, (host, port), &login.user, &login.password).await
            }
        };
        match greeted {
            Ok(stream) => Ok(Box::new(stream.into_inner())),
            Err(tokio_socks::Error::Io(error)) => Err(DialError::Proxy(error)),
            Err(other) => Err(DialError::ProxyRefused(other.to_string())),
        }
    }
}

/// Reads the answer to CONNECT to its empty line and not a byte further: what follows belongs to the tunnel.
async fn read_connect_status(stream: &mut BoxedStream) -> Result<u16, DialError> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= CONNECT_ANSWER_LIMIT {
            return Err(DialError::ProxyRefused("its answer is too long".into()));
        }
        // One byte at a time costs little here (a hundred bytes, once) and cannot read too far.
        head.push(stream.read_u8().await.map_err(DialError::Proxy)?);
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.parse().ok());
    match status {
        Some(status) if version.starts_with(b"HTTP/1.") => Ok(status),
        _ => Err(DialError::ProxyRefused("it does not speak HTTP".into())),
    }
}

const CONNECT_ANSWER_LIMIT: usize = 8 * 1024;

/// Splits `host`, `host:port` and `[v6]:port`; the brackets are dropped.
pub(super) fn split_host_port(address: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        match after {
            "" => (host, None),
            _ => (host, Some(after.strip_prefix(':')?)),
        }
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    (!host.is_empty()).then_some((host, port))
}

fn percent_decode(text: &str) -> Result<Zeroizing<String>, ProxyError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or(ProxyError::Credentials)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| ProxyError::Credentials)?;
        bytes.extend_from_slice(&byte);
        rest = after;
    }
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| ProxyError::Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_every_scheme_parse_with_their_usual_ports() {
        for (text, kind, host, port) in [
            ("http://proxy.example", ProxyKind::Http, "proxy.example", 8080),
            ("https://proxy.example/", ProxyKind::Https, "proxy.example", 443),
            ("socks5://10.0.0.1:9050", ProxyKind::Socks5, "10.0.0.1", 9050),
            ("socks5h://[::1]:1081", ProxyKind::Socks5, "::1", 1081),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (kind, host, port), "{text}");
            assert!(proxy.credentials.is_none());
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let proxy: Proxy = "http://alice:p%40ss%3A@word@proxy:3128".parse().unwrap();
        let login = proxy.credentials.as_ref().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("alice", "p@ss:@word"));
        let shown = format!("{proxy:?}");
        assert!(!shown.contains("alice") && !shown.contains("p@ss"), "{shown}");
    }

    #[test]
    fn texts_that_are_no_proxy_url_are_refused_with_a_reason() {
        for (text, error) in [
            ("proxy:3128", ProxyError::Scheme),
            ("ftp://proxy", ProxyError::Scheme),
            ("http://", ProxyError::Host),
            ("http://[::1", ProxyError::Host),
            ("http://proxy:0", ProxyError::Port),
            ("http://proxy:port", ProxyError::Port),
            ("socks5://proxy:99999", ProxyError::Port),
            ("http://a%zz@proxy", ProxyError::Credentials),
            ("http://a%f@proxy", ProxyError::Credentials),
            ("http://proxy/path", ProxyError::Path),
        ] {
            assert_eq!(text.parse::<Proxy>().err(), Some(error), "{text}");
        }
    }
}
