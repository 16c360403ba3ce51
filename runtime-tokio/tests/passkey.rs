//! Linking that a passkey has to allow, over real sockets: the phone is played through the control API, the passkey is
//! the relay's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use support::http::request;
use support::peer::Peer;
use whatsio::api::{CodePurpose, Event};
use whatsio::relay::{RelayOptions, RelayServer};
use whatsio::{Client, MemoryStore, OperationError};

const PHONE: &str = "15550100001";

async fn post(relay: &RelayServer, path: &str, body: &str) -> (u16, String) {
    let path = format!("/admin/mock-phone/{path}?account={PHONE}");
    request("POST", &relay.admin_url(), &path, body).await
}

async fn unlinked(relay: &RelayServer) -> Peer {
    let builder = Client::builder().store(MemoryStore::new()).relay(relay.url(), relay.root_key());
    let (client, events) = builder.start().await.unwrap();
    Peer { client, events }
}

/// The relay's passkey answers what the client was asked.
async fn answer_request(relay: &RelayServer, peer: &mut Peer) {
    let asked = peer.until(|event| matches!(event, Event::AssertionNeeded { .. })).await;
    let Event::AssertionNeeded { request } = asked.event() else { panic!("not a request") };
    let (status, assertion) = post(relay, "assert", request).await;
    assert_eq!(status, 200, "{assertion}");
    peer.client.provide_assertion(&assertion).await.unwrap();
}

async fn until_connected(mut peer: Peer) -> Client {
    peer.until(|event| matches!(event, Event::Linked { .. })).await.handled();
    peer.until(|event| matches!(event, Event::Connected)).await.handled();
    peer.client
}

#[tokio::test]
async fn a_scanned_code_and_a_passkey_link() {
    let relay = RelayServer::bind(RelayOptions::default()).await.unwrap();
    assert_eq!(post(&relay, "require-passkey", "").await.0, 200);
    let mut peer = unlinked(&relay).await;
    let shown = peer.until(|event| matches!(event, Event::QrShown { .. })).await;
    let Event::QrShown { text, .. } = shown.event() else { panic!("not a code") };
    assert_eq!(post(&relay, "scan-qr", text).await.0, 200);
    answer_request(&relay, &mut peer).await;
    let client = until_connected(peer).await;
    assert!(matches!(client.provide_assertion("{}").await, Err(OperationError::Refused(_))));
    assert!(matches!(client.confirm_code().await, Err(OperationError::Refused(_))));
    assert!(matches!(client.reject_code().await, Err(OperationError::Refused(_))));
}

#[tokio::test]
async fn a_typed_code_and_a_passkey_link() {
    let relay = RelayServer::bind(RelayOptions::default()).await.unwrap();
    assert_eq!(post(&relay, "require-passkey", "").await.0, 200);
    let mut peer = unlinked(&relay).await;
    peer.client.request_pair_code(PHONE, None).await.unwrap();
    let is_code = |event: &Event| matches!(event, Event::CodeShown { purpose: CodePurpose::EnterOnPhone, .. });
    let shown = peer.until(is_code).await;
    let Event::CodeShown { code, .. } = shown.event() else { panic!("not a code") };
    assert_eq!(post(&relay, "enter-code", code).await.0, 200);
    answer_request(&relay, &mut peer).await;
    until_connected(peer).await;
}

#[tokio::test]
async fn a_phone_of_which_nothing_was_asked_says_so() {
    let relay = RelayServer::bind(RelayOptions::default()).await.unwrap();
    let code = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["error"]["code"].clone();
    for (path, body, status, problem) in [
        ("assert", "{}", 404, "no_passkey"),
        ("confirm-code", "ABCD-EFGH", 404, "nothing_to_compare"),
        ("reject-code", "", 404, "nothing_to_compare"),
    ] {
        let (found, answer) = post(&relay, path, body).await;
        assert_eq!((found, code(&answer)), (status, problem.into()), "{path}");
    }
    post(&relay, "require-passkey", "").await;
    let (status, answer) = post(&relay, "assert", "{}").await;
    assert_eq!((status, code(&answer)), (400, "not_a_request".into()));
    let (status, answer) = post(&relay, "assert", r#"{"challenge":"AQID","rpId":"example.com"}"#).await;
    assert_eq!((status, code(&answer)), (409, "assertion_refused".into()));
}
