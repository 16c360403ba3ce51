//! Tiny proxies for tests: each counts what it carried and where it was asked to go.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A running proxy on a loopback port.
pub(crate) struct TestProxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// The targets that were asked for, with the login that came along.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// HTTP CONNECT; demands this `Proxy-Authorization` if given.
    pub(crate) async fn http(wanted: Option<&'static str>) -> Self {
        Self::start(move |mut stream, seen| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let login = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: ")).unwrap_or("");
            seen.lock().unwrap().push(format!("{target} {login}").trim_end().to_owned());
            if wanted.is_some_and(|wanted| wanted != login) {
                stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await?;
                return Ok(());
            }
            let mut upstream = TcpStream::connect(target).await?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\nX-Proxy: test\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut upstream).await?;
            Ok(())
        })
        .await
    }

    /// SOCKS5 with a user and password if given. Understands IPv4 addresses and names.
    pub(crate) async fn socks5(wanted: Option<(&'static str, &'static str)>) -> Self {
        Self::start(move |mut stream, seen| async move {
            assert_eq!(stream.read_u8().await?, 5);
            let count = stream.read_u8().await?;
            let mut methods = vec![0; usize::from(count)];
            stream.read_exact(&mut methods).await?;
            let method = if wanted.is_some() { 2 } else { 0 };
            if !methods.contains(&method) {
                stream.write_all(&[5, 0xff]).await?;
                return Ok(());
            }
            stream.write_all(&[5, method]).await?;
            let mut login = String::new();
            if let Some((user, password)) = wanted {
                assert_eq!(stream.read_u8().await?, 1);
                let given = (read_short(&mut stream).await?, read_short(&mut stream).await?);
                let right = given == (user.to_owned(), password.to_owned());
                login = format!(" {}:{}", given.0, given.1);
                stream.write_all(&[1, u8::from(!right)]).await?;
                if !right {
                    return Ok(());
                }
            }
            let mut request = [0; 4];
            stream.read_exact(&mut request).await?;
            let host = match request[3] {
                1 => {
                    let mut address = [0; 4];
                    stream.read_exact(&mut address).await?;
                    std::net::Ipv4Addr::from(address).to_string()
                }
                3 => read_short(&mut stream).await?,
                other => panic!("address type {other}"),
            };
            let port = stream.read_u16().await?;
            seen.lock().unwrap().push(format!("{host}:{port}{login}"));
            let mut upstream = TcpStream::connect((host.as_str(), port)).await?;
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
            copy_bidirectional(&mut stream, &mut upstream).await?;
            Ok(())
        })
        .await
    }

    async fn start<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> R + Send + 'static,
        R: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }
}

async fn read_short(stream: &mut TcpStream) -> std::io::Result<String> {
    let length = stream.read_u8().await?;
    let mut text = vec![0; usize::from(length)];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8(text).unwrap())
}
