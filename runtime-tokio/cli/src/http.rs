//! Just enough HTTP to ask a relay's control API on this machine: one request, one answer, connection closed.

use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// `GET` or `POST` to `http://authority/path`. Fails with words for people.
pub(crate) async fn request(method: &str, authority: &str, path: &str, body: &str) -> Result<Answer, String> {
    match timeout(PATIENCE, exchange(method, authority, path, body)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(format!("{authority}: {error}")),
        Err(_) => Err(format!("{authority} does not answer")),
    }
}

async fn exchange(method: &str, authority: &str, path: &str, body: &str) -> std::io::Result<Result<Answer, String>> {
    let mut stream = TcpStream::connect(authority).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    Ok(parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| "not an HTTP answer".to_owned()))
}

/// Chunked answers are not understood; the control API does not send any.
fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: u64 = 1 << 20;
