//! The control API over HTTP: plays the phone, shows accounts, cuts connections.
//!
//! `POST /admin/mock-phone/scan-qr` takes the QR text as the body, as other projects' test suites send it, and answers
//! only after the relay has accepted the scan; `enter-code` beside it types a pairing code, `require-passkey` makes a
//! passkey for an account, `assert` answers a request with it, `confirm-code` and `reject-code` say what was compared. Errors are JSON: `{"error":{"code":"…","message":"…"}}`.

use super::brain::{RelayHandle, RelayStopped};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use whatsio_core::relay::{AccountSummary, AuthenticatorError, PhoneRefusal, Relay, ScanError};
use whatsio_core::types::Jid;

#[derive(Clone)]
struct Control {
    relay: RelayHandle,
    root_key: String,
}

/// The routes of the control API.
pub(super) fn router(relay: RelayHandle, root_key: [u8; 32]) -> Router {
    Router::new()
        .route("/admin/mock-phone/scan-qr", post(scan_qr))
        .route("/admin/mock-phone/enter-code", post(enter_code))
        .route("/admin/mock-phone/require-passkey", post(require_passkey))
        .route("/admin/mock-phone/assert", post(assert_passkey).layer(DefaultBodyLimit::max(REQUEST_LIMIT)))
        .route("/admin/mock-phone/confirm-code", post(confirm_code))
        .route("/admin/mock-phone/reject-code", post(reject_code))
        .route("/admin/accounts", get(accounts))
        .route("/admin/disconnect", post(disconnect))
        .route("/admin/remove-device", post(remove_device))
        .route("/admin/damage-ciphertext", post(damage_ciphertext))
        .route("/admin/counters", get(counters))
        .route("/admin/root-key", get(root_key_hex))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Control { relay, root_key: hex::encode(root_key) })
}

/// Answers every other path of the control port.
pub(super) async fn not_found() -> ApiError {
    ApiError::NoSuchPath
}

#[derive(Deserialize)]
struct ScanQuery {
    account: Option<String>,
}

#[derive(Serialize)]
struct Linked {
    jid: String,
}

async fn scan_qr(
    State(control): State<Control>,
    Query(query): Query<ScanQuery>,
    text: String,
) -> Result<Json<Linked>, ApiError> {
    let jid = control.relay.scan_qr(query.account.as_deref(), text.trim()).await??;
    Ok(Json(Linked { jid: jid.to_string() }))
}

#[derive(Deserialize)]
struct CodeQuery {
    account: String,
}

/// The body is the code that the companion shows; the dash and the case do not matter.
async fn enter_code(
    State(control): State<Control>,
    Query(query): Query<CodeQuery>,
    code: String,
) -> Result<Json<Done>, ApiError> {
    let entered = move |relay: &mut Relay, now| relay.enter_code(now, &query.account, code.trim());
    control.relay.with(entered).await??;
    Ok(Json(Done { done: true }))
}

/// From now on whoever links to this account needs its passkey.
async fn require_passkey(
    State(control): State<Control>,
    Query(query): Query<CodeQuery>,
) -> Result<Json<Done>, ApiError> {
    control.relay.with(move |relay, _| relay.require_passkey(&query.account)).await??;
    Ok(Json(Done { done: true }))
}

/// The body is the JSON of a WebAuthn request; the answer is the assertion as it is handed to the companion.
async fn assert_passkey(
    State(control): State<Control>,
    Query(query): Query<CodeQuery>,
    request: String,
) -> Result<Response, ApiError> {
    let answer = control.relay.with(move |relay, _| relay.assert_passkey(&query.account, request.trim())).await??;
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}

/// The body is the code that the companion shows.
async fn confirm_code(
    State(control): State<Control>,
    Query(query): Query<CodeQuery>,
    code: String,
) -> Result<Json<Done>, ApiError> {
    control.relay.with(move |relay, now| relay.confirm_code(now, &query.account, code.trim())).await??;
    Ok(Json(Done { done: true }))
}

async fn reject_code(State(control): State<Control>, Query(query): Query<CodeQuery>) -> Result<Json<Done>, ApiError> {
    control.relay.with(move |relay, now| relay.reject_code(now, &query.account)).await??;
    Ok(Json(Done { done: true }))
}

#[derive(Serialize)]
struct Account {
    pn: String,
    lid: String,
    push_name: String,
    devices: Vec<Device>,
}

#[derive(Serialize)]
struct Device {
    jid: String,
    online: bool,
    queued: usize,
    prekeys: usize,
}

async fn accounts(State(control): State<Control>) -> Result<Json<Vec<Account>>, ApiError> {
    let accounts = control.relay.accounts().await?;
    Ok(Json(accounts.into_iter().map(Account::from).collect()))
}

impl From<AccountSummary> for Account {
    fn from(account: AccountSummary) -> Self {
        let devices = account.devices.into_iter().map(|device| Device {
            jid: device.jid.to_string(),
            online: device.online,
            queued: device.queued,
            prekeys: device.prekeys,
        });
        Self {
            pn: account.pn.to_string(),
            lid: account.lid.to_string(),
            push_name: account.push_name,
            devices: devices.collect(),
        }
    }
}

#[derive(Serialize)]
struct Done {
    done: bool,
}

/// The body is the address of a device.
async fn disconnect(State(control): State<Control>, text: String) -> Result<Json<Done>, ApiError> {
    let jid = parse_jid(&text)?;
    let done = control.relay.with(move |relay, now| relay.disconnect(now, &jid)).await?;
    if done { Ok(Json(Done { done })) } else { Err(ApiError::NotConnected) }
}

/// The body is the address of a device.
async fn remove_device(State(control): State<Control>, text: String) -> Result<Json<Done>, ApiError> {
    let jid = parse_jid(&text)?;
    let done = control.relay.with(move |relay, now| relay.remove_device(now, &jid)).await?;
    if done { Ok(Json(Done { done })) } else { Err(ApiError::NoSuchDevice) }
}

/// The body is the address of a device: the next message for it arrives unreadable.
async fn damage_ciphertext(State(control): State<Control>, text: String) -> Result<Json<Done>, ApiError> {
    let jid = parse_jid(&text)?;
    control.relay.with(move |relay, _| relay.faults().damage_ciphertext(&jid)).await?;
    Ok(Json(Done { done: true }))
}

#[derive(Serialize)]
struct Counters {
    seen: usize,
    unwatched: usize,
    reused: Vec<Reused>,
}

#[derive(Serialize)]
struct Reused {
    from: String,
    id: String,
    counter: u32,
}

/// What the oracle of counters has found; it looks at none unless the relay's limits say so.
async fn counters(State(control): State<Control>) -> Result<Json<Counters>, ApiError> {
    let report = control.relay.with(|relay, _| relay.counters()).await?;
    let reused = report.reused.into_iter();
    let reused = reused.map(|one| Reused { from: one.from.to_string(), id: one.id, counter: one.counter }).collect();
    Ok(Json(Counters { seen: report.seen, unwatched: report.unwatched, reused }))
}

async fn root_key_hex(State(control): State<Control>) -> String {
    control.root_key
}

fn parse_jid(text: &str) -> Result<Jid, ApiError> {
    text.trim().parse().map_err(|_| ApiError::BadAddress)
}

/// Everything the control API can answer beside success.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the phone cannot link: {0}")]
    Scan(#[from] ScanError),
    #[error("the phone does not: {0}")]
    Phone(#[from] PhoneRefusal),
    #[error("the body must be the address of a device, such as 15550100001:1@s.whatsapp.net")]
    BadAddress,
    #[error("no such device is connected")]
    NotConnected,
    #[error("there is no such device")]
    NoSuchDevice,
    #[error("there is no such path; see /admin/accounts")]
    NoSuchPath,
    #[error(transparent)]
    Stopped(#[from] RelayStopped),
}

impl ApiError {
    const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Scan(ScanError::NotACode) => (StatusCode::BAD_REQUEST, "not_a_code"),
            Self::Scan(ScanError::BadNumber) => (StatusCode::BAD_REQUEST, "bad_number"),
            Self::Scan(ScanError::Expired) => (StatusCode::GONE, "expired"),
            Self::Scan(ScanError::KeyMismatch) => (StatusCode::CONFLICT, "key_mismatch"),
            Self::Scan(ScanError::TooManyCompanions) => (StatusCode::CONFLICT, "too_many_companions"),
            Self::Scan(ScanError::TooManyAccounts) => (StatusCode::CONFLICT, "too_many_accounts"),
            Self::Scan(ScanError::NoCodeAwaited) => (StatusCode::NOT_FOUND, "no_code_awaited"),
            Self::Scan(_) => (StatusCode::CONFLICT, "scan_refused"),
            Self::Phone(PhoneRefusal::NoPasskey) => (StatusCode::NOT_FOUND, "no_passkey"),
            Self::Phone(PhoneRefusal::Assertion(AuthenticatorError::NotARequest)) => {
                (StatusCode::BAD_REQUEST, "not_a_request")
            }
            Self::Phone(PhoneRefusal::Assertion(_)) => (StatusCode::CONFLICT, "assertion_refused"),
            Self::Phone(PhoneRefusal::NothingToCompare) => (StatusCode::NOT_FOUND, "nothing_to_compare"),
            Self::Phone(PhoneRefusal::CodesDiffer) => (StatusCode::CONFLICT, "codes_differ"),
            Self::Phone(_) => (StatusCode::CONFLICT, "phone_refused"),
            Self::BadAddress => (StatusCode::BAD_REQUEST, "bad_address"),
            Self::NotConnected => (StatusCode::NOT_FOUND, "not_connected"),
            Self::NoSuchDevice => (StatusCode::NOT_FOUND, "no_such_device"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no_such_path"),
            Self::Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        }
    }
}

#[derive(Serialize)]
struct Problem {
    error: ProblemBody,
}

#[derive(Serialize)]
struct ProblemBody {
    code: &'static str,
    message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        (status, Json(Problem { error: ProblemBody { code, message: self.to_string() } })).into_response()
    }
}

const BODY_LIMIT: usize = 8 * 1024;

/// WebAuthn requests name many credentials.
const REQUEST_LIMIT: usize = 64 * 1024;
