//! The relay's ports from outside: upgrades on any path, TLS, and the control API.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use support::http::request;
use whatsio::relay::{BindError, RelayOptions, RelayServer};
use whatsio::transport::{DialError, Transport, Trust};
use whatsio_core::api::Endpoint;

async fn relay() -> RelayServer {
    RelayServer::bind(RelayOptions::default()).await.unwrap()
}

fn error_code(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(!value["error"]["message"].as_str().unwrap().is_empty());
    value["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_path_and_origin_is_upgraded() {
    let relay = relay().await;
    let transport = Transport::new().unwrap();
    let base = relay.url().trim_end_matches("/ws/chat").to_owned();
    for (path, origin) in [("/ws/chat", "https://web.whatsapp.com"), ("/", ""), ("/any/where?ED=1", "null")] {
        let endpoint = Endpoint { url: format!("{base}{path}"), origin: origin.into() };
        transport.dial(&endpoint).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn tls_is_served_with_the_exported_certificate() {
    let relay = relay().await;
    let trust = Trust::with_pems(relay.certificate_pem()).unwrap();
    let trusting = Transport::new().unwrap().with_trust(trust);
    let url = relay.tls_url().unwrap();
    for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        trusting.dial(&Endpoint { url, origin: String::new() }).await.unwrap().close().await;
    }
    let error = Transport::new().unwrap().dial(&Endpoint { url, origin: String::new() }).await.unwrap_err();
    assert!(matches!(error, DialError::Tls(_)), "{error}");
}

#[tokio::test]
async fn what_is_no_upgrade_gets_an_answer_for_people() {
    let relay = relay().await;
    let (status, body) = request("GET", &relay.url(), "/ws/chat", "").await;
    assert_eq!(status, 426);
    assert!(body.contains("WebSocket"), "{body}");
}

#[tokio::test]
async fn control_api_answers_on_its_own_port_and_beside_the_websocket() {
    let relay = relay().await;
    let key = hex::encode(relay.root_key());
    for base in [relay.admin_url(), relay.url()] {
        assert_eq!(request("GET", &base, "/admin/root-key", "").await, (200, key.clone()));
        assert_eq!(request("GET", &base, "/admin/accounts", "").await, (200, "[]".to_owned()));
        let (status, body) = request("POST", &base, "/admin/mock-phone/scan-qr", "not a code").await;
        assert_eq!((status, error_code(&body).as_str()), (400, "not_a_code"));
    }
}

#[tokio::test]
async fn control_api_stays_on_its_own_port_when_told_so() {
    let mut options = RelayOptions::default();
    options.admin_beside_websocket = false;
    options.wss = None;
    let relay = RelayServer::bind(options).await.unwrap();
    assert_eq!(request("GET", &relay.url(), "/admin/root-key", "").await.0, 426);
    assert_eq!(request("GET", &relay.admin_url(), "/admin/root-key", "").await.0, 200);
    assert!(relay.tls_url().is_none() && relay.certificate_pem().is_none());
}

#[tokio::test]
async fn control_api_says_what_is_wrong() {
    let relay = relay().await;
    let admin = relay.admin_url();
    // Well formed, but nobody shows it.
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let code = format!("2@ref,{key},{key},{key},1");
    for (method, path, body, status, code) in [
        ("GET", "/admin/nothing", "", 404, "no_such_path"),
        ("POST", "/admin/mock-phone/enter-code?account=15550100001", "ABCD-EFGH", 404, "no_code_awaited"),
        ("POST", "/admin/mock-phone/scan-qr", &code, 410, "expired"),
        ("POST", "/admin/disconnect", "x@y@z", 400, "bad_address"),
        ("POST", "/admin/disconnect", "15550100001:1@s.whatsapp.net", 404, "not_connected"),
        ("POST", "/admin/remove-device", "15550100001:1@s.whatsapp.net", 404, "no_such_device"),
    ] {
        let (got, answer) = request(method, &admin, path, body).await;
        assert_eq!((got, error_code(&answer).as_str()), (status, code), "{path} {body}");
    }
    assert_eq!(request("GET", &admin, "/admin/mock-phone/scan-qr", "").await.0, 405);
    assert_eq!(request("POST", &admin, "/admin/mock-phone/scan-qr", &"x".repeat(100_000)).await.0, 413);
}

#[tokio::test]
async fn a_taken_port_is_reported_and_a_dropped_relay_frees_its_ports() {
    let relay = relay().await;
    let taken: SocketAddr = relay.url()["ws://".len()..].split('/').next().unwrap().parse().unwrap();
    let mut options = RelayOptions::default();
    options.ws = taken;
    let error = RelayServer::bind(options.clone()).await.unwrap_err();
    assert!(matches!(error, BindError::Listen { address, .. } if address == taken), "{error}");

    relay.shutdown().await;
    let again = RelayServer::bind(options).await.unwrap();
    assert!(again.url().contains(&taken.port().to_string()));
}

#[tokio::test]
async fn every_start_has_keys_of_its_own() {
    let (one, other) = (relay().await, relay().await);
    assert_ne!(one.root_key(), other.root_key());
    assert_ne!(one.certificate_pem(), other.certificate_pem());
    assert!(one.url().contains(&Ipv4Addr::LOCALHOST.to_string()));
}
