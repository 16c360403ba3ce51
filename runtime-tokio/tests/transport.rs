//! The transport against a WebSocket server, through proxies, over TLS, and against servers that misbehave.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

mod support;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use support::proxies::TestProxy;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use whatsio::transport::{DialError, Link, LinkEvent, Proxy, Transport, Trust};
use whatsio_core::api::{CloseReason, Endpoint};

/// A WebSocket server that echoes binary messages and reports the origins it saw.
async fn echo_server(tls: Option<TlsAcceptor>) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (origins, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (origins, tls) = (origins.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => echo(stream, origins).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            echo(stream, origins).await;
                        }
                    }
                }
            });
        }
    });
    (port, seen)
}

#[allow(clippy::result_large_err, reason = "the library's signature")]
async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin, origins: mpsc::UnboundedSender<String>) {
    let note = |request: &Request, response: Response| {
        let origin = request.headers().get("origin").map_or("none", |value| value.to_str().unwrap());
        origins.send(format!("{origin} {}", request.uri())).unwrap();
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) if bytes.as_ref() == b"bye" => {
                socket.close(None).await.unwrap();
            }
            Message::Binary(bytes) if bytes.as_ref() == b"drop" => return,
            Message::Binary(bytes) if bytes.as_ref() == b"text" => socket.send("hello".into()).await.unwrap(),
            Message::Binary(bytes) if bytes.as_ref() == b"ping" => {
                socket.send(Message::Ping(Bytes::from_static(b"1"))).await.unwrap();
            }
            Message::Binary(bytes) if bytes.as_ref() == b"big" => {
                socket.send(Message::Binary(vec![7; LARGEST_FRAME].into())).await.unwrap();
            }
            Message::Binary(bytes) if bytes.as_ref() == b"too big" => {
                let _ = socket.send(Message::Binary(vec![7; LARGEST_FRAME + 8192].into())).await;
            }
            Message::Pong(bytes) => socket.send(Message::Binary(bytes)).await.unwrap(),
            Message::Binary(_) => socket.send(message).await.unwrap(),
            _ => {}
        }
    }
}

const LARGEST_FRAME: usize = (1 << 24) + 3;

fn at(url: String) -> Endpoint {
    Endpoint { url, origin: "https://web.whatsapp.com".into() }
}

fn patient() -> Transport {
    Transport::new().unwrap().with_patience(Duration::from_secs(10))
}

async fn assert_echoes(link: &mut Link) {
    for text in ["one", "two", "three"] {
        link.push(Bytes::from_static(text.as_bytes()));
    }
    for text in ["one", "two", "three"] {
        assert_eq!(link.turn(true).await, LinkEvent::Frame(Bytes::from_static(text.as_bytes())));
    }
    assert_eq!(link.waiting_bytes(), 0);
}

#[tokio::test]
async fn messages_keep_their_order_and_the_origin_is_sent() {
    let (port, mut seen) = echo_server(None).await;
    let mut link = patient().dial(&at(format!("ws://127.0.0.1:{port}/ws/chat?x=1"))).await.unwrap();
    assert_echoes(&mut link).await;
    assert_eq!(seen.recv().await.unwrap(), "https://web.whatsapp.com /ws/chat?x=1");
}

#[tokio::test]
async fn a_message_of_the_largest_frame_passes() {
    let (port, _seen) = echo_server(None).await;
    let mut link = patient().dial(&at(format!("ws://localhost:{port}/"))).await.unwrap();
    link.push(Bytes::from_static(b"big"));
    assert_eq!(link.turn(true).await, LinkEvent::Frame(Bytes::from(vec![7; LARGEST_FRAME])));
    // One byte more than any frame can have, allowing for a generous header.
    link.push(Bytes::from_static(b"too big"));
    assert_eq!(link.turn(true).await, LinkEvent::Closed(CloseReason::Broken));
}

#[tokio::test]
async fn http_proxy_carries_the_connection_with_its_login() {
    let (port, _seen) = echo_server(None).await;
    // "alice:p@ss" in base64.
    let proxy = TestProxy::http(Some("Basic YWxpY2U6cEBzcw==")).await;
    let url: Proxy = format!("http://alice:p%40ss@{}", proxy.address).parse().unwrap();
    let mut link = patient().with_proxy(url).dial(&at(format!("ws://localhost:{port}/ws"))).await.unwrap();
    assert_echoes(&mut link).await;
    assert_eq!(proxy.seen(), [format!("localhost:{port} Basic YWxpY2U6cEBzcw==")]);
}

#[tokio::test]
async fn http_proxy_that_refuses_the_login_is_reported() {
    let proxy = TestProxy::http(Some("Basic b3RoZXI=")).await;
    let url: Proxy = format!("http://alice:wrong@{}", proxy.address).parse().unwrap();
    let error = patient().with_proxy(url).dial(&at("ws://localhost:9/ws".into())).await.unwrap_err();
    assert!(matches!(&error, DialError::ProxyRefused(why) if why == "status 407"), "{error}");
    assert!(!error.to_string().contains("wrong"));
}

#[tokio::test]
async fn socks_proxy_resolves_names_itself() {
    let (port, _seen) = echo_server(None).await;
    let proxy = TestProxy::socks5(None).await;
    let url: Proxy = format!("socks5://{}", proxy.address).parse().unwrap();
    let mut link = patient().with_proxy(url).dial(&at(format!("ws://localhost:{port}/ws"))).await.unwrap();
    assert_echoes(&mut link).await;
    assert_eq!(proxy.seen(), [format!("localhost:{port}")]);
}

#[tokio::test]
async fn socks_proxy_takes_user_and_password() {
    let (port, _seen) = echo_server(None).await;
    let proxy = TestProxy::socks5(Some(("bob", "secret"))).await;
    let right: Proxy = format!("socks5h://bob:secret@{}", proxy.address).parse().unwrap();
    let endpoint = at(format!("ws://127.0.0.1:{port}/ws"));
    let mut link = patient().with_proxy(right).dial(&endpoint).await.unwrap();
    assert_echoes(&mut link).await;
    assert_eq!(proxy.seen(), [format!("127.0.0.1:{port} bob:secret")]);

    let wrong: Proxy = format!("socks5://bob:guess@{}", proxy.address).parse().unwrap();
    let error = patient().with_proxy(wrong).dial(&endpoint).await.unwrap_err();
    assert!(matches!(error, DialError::ProxyRefused(_)), "{error}");
}

fn own_certificate() -> (String, TlsAcceptor) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    (own.cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn tls_works_with_a_trusted_certificate_only() {
    let (pem, acceptor) = own_certificate();
    let (port, _seen) = echo_server(Some(acceptor)).await;
    let trusting = patient().with_trust(Trust::with_pems([pem.as_str()]).unwrap());
    for host in ["localhost", "127.0.0.1"] {
        let mut link = trusting.dial(&at(format!("wss://{host}:{port}/ws"))).await.unwrap();
        assert_echoes(&mut link).await;
    }
    let error = patient().dial(&at(format!("wss://localhost:{port}/ws"))).await.unwrap_err();
    assert!(matches!(error, DialError::Tls(_)), "{error}");
}

#[tokio::test]
async fn tls_runs_through_a_proxy() {
    let (pem, acceptor) = own_certificate();
    let (port, _seen) = echo_server(Some(acceptor)).await;
    let proxy = TestProxy::http(None).await;
    let transport = patient()
        .with_trust(Trust::with_pems([pem.as_str()]).unwrap())
        .with_proxy(format!("http://{}", proxy.address).parse().unwrap());
    let mut link = transport.dial(&at(format!("wss://localhost:{port}/ws"))).await.unwrap();
    assert_echoes(&mut link).await;
    assert_eq!(proxy.seen(), [format!("localhost:{port}")]);
}

#[tokio::test]
async fn a_proxy_may_itself_be_reached_over_tls() {
    let (pem, acceptor) = own_certificate();
    let (port, _seen) = echo_server(None).await;
    let proxy = TestProxy::http(None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap().port();
    let behind = proxy.address;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut upstream = TcpStream::connect(behind).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut upstream).await;
    });
    let transport = patient()
        .with_trust(Trust::with_pems([pem.as_str()]).unwrap())
        .with_proxy(format!("https://localhost:{front}").parse().unwrap());
    let mut link = transport.dial(&at(format!("ws://127.0.0.1:{port}/ws"))).await.unwrap();
    assert_echoes(&mut link).await;
    assert_eq!(proxy.seen(), [format!("127.0.0.1:{port}")]);
}

#[tokio::test]
async fn the_end_of_a_connection_says_who_ended_it() {
    let (port, _seen) = echo_server(None).await;
    let endpoint = at(format!("ws://127.0.0.1:{port}/"));
    for (order, reason) in
        [("bye", CloseReason::ByServer), ("drop", CloseReason::Broken), ("text", CloseReason::Broken)]
    {
        let mut link = patient().dial(&endpoint).await.unwrap();
        link.push(Bytes::from_static(order.as_bytes()));
        assert_eq!(link.turn(true).await, LinkEvent::Closed(reason), "{order}");
    }
}

#[tokio::test]
async fn pings_are_answered_while_reading() {
    let (port, _seen) = echo_server(None).await;
    let mut link = patient().dial(&at(format!("ws://127.0.0.1:{port}/"))).await.unwrap();
    link.push(Bytes::from_static(b"ping"));
    assert_eq!(link.turn(true).await, LinkEvent::Frame(Bytes::from_static(b"1")));
}

#[tokio::test]
async fn closing_sends_what_is_queued_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = at(format!("ws://{}/", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut got = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            got.push(message);
        }
        got
    });
    let mut link = patient().dial(&endpoint).await.unwrap();
    link.push(Bytes::from_static(b"last words"));
    link.close().await;
    let got = server.await.unwrap();
    assert_eq!(got[0], Message::Binary(Bytes::from_static(b"last words")));
    assert!(got[1].is_close());
}

#[tokio::test]
async fn a_link_that_is_not_read_makes_the_server_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = at(format!("ws://{}/", listener.local_addr().unwrap()));
    let (held_up_to, mut held_up) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        for number in 0..64 {
            let mut sending = pin!(socket.send(Message::Binary(Bytes::from(vec![number; 1 << 20]))));
            let waits = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context).is_pending())).await;
            if waits {
                held_up_to.send(number).unwrap();
                sending.await.unwrap();
            }
        }
    });
    let mut link = patient().dial(&endpoint).await.unwrap();
    // 64 MiB do not fit into the buffers of a loopback connection: the server has to wait for our reading.
    tokio::select! {
        event = link.turn(false) => panic!("{event:?}"),
        number = held_up.recv() => assert!(number.unwrap() < 63),
    }
    for number in 0..64 {
        let LinkEvent::Frame(frame) = link.turn(true).await else { panic!("closed early") };
        assert_eq!((frame.len(), frame[0]), (1 << 20, number));
    }
}

#[tokio::test]
async fn servers_that_are_no_websocket_are_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = at(format!("ws://{}/", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        for answer in ["HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-hello\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let dial = || async { patient().dial(&endpoint).await.unwrap_err() };
    let refused = dial().await;
    assert!(matches!(refused, DialError::UpgradeRefused(403)), "{refused}");
    for _ in 0..2 {
        let error = dial().await;
        assert!(matches!(error, DialError::Upgrade(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = at(format!("ws://{}/", listener.local_addr().unwrap()));
    let hurried = Transport::new().unwrap().with_patience(Duration::from_millis(50));
    let error = hurried.dial(&endpoint).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_reported_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = patient().dial(&at(format!("ws://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(matches!(error, DialError::Connect { port: at, .. } if at == port), "{error}");
}
