//! The relay's own phone, played through its control API.

use crate::args::Global;
use crate::failure::Failure;
use crate::{http, session};

/// The phone of one account of a relay on this machine.
pub(super) struct Phone {
    authority: String,
    /// `?account=DIGITS`, or nothing for a new account.
    query: String,
}

impl Phone {
    /// The phone of `number`; of a new account without one.
    pub(super) fn of(global: &Global, number: Option<&str>) -> Result<Self, Failure> {
        let url = global
            .relay
            .as_deref()
            .ok_or(Failure::Usage("--scan needs --relay: the real service has no phone to play"))?;
        let authority = session::control_authority(url)
            .ok_or_else(|| Failure::Scan("only a ws:// relay on this machine can be asked".into()))?;
        let query = match number {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => format!("?account={digits}"),
            Some(_) => return Err(Failure::Scan("--phone takes digits".into())),
            None => String::new(),
        };
        Ok(Self { authority: authority.to_owned(), query })
    }

    /// Scans a QR code.
    pub(super) async fn scan(&self, text: &str) -> Result<(), Failure> {
        self.post("scan-qr", text).await.map(drop)
    }

    /// Types a code that this device shows.
    pub(super) async fn enter(&self, code: &str) -> Result<(), Failure> {
        self.post("enter-code", code).await.map(drop)
    }

    /// Answers the request for a passkey.
    pub(super) async fn assert(&self, request: &str) -> Result<String, Failure> {
        self.post("assert", request).await
    }

    /// Compares the code that this device shows with its own.
    pub(super) async fn compare(&self, code: &str) -> Result<(), Failure> {
        self.post("confirm-code", code).await.map(drop)
    }

    async fn post(&self, what: &str, body: &str) -> Result<String, Failure> {
        let path = format!("/admin/mock-phone/{what}{}", self.query);
        let answer = http::request("POST", &self.authority, &path, body).await.map_err(Failure::Scan)?;
        if answer.status == 200 { Ok(answer.body) } else { Err(Failure::Scan(answer.body)) }
    }
}
