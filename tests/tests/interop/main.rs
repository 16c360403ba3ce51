//! Clients that nobody here wrote, against the relay and against whatsio. Run by `tests/interop/run`, which installs them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

mod baileys;
mod ours;

use baileys::Baileys;
use ours::Ours;
use prost::Message;
use serde_json::json;
use std::process::ExitCode;
use whatsio::relay::{RelayOptions, RelayServer};
use whatsio_core::api::ReceiptKind;
use whatsio_core::message::{Quote, Text, mentions_of, quoted_id_of};
use whatsio_core::types::Jid;

/// A relay with a Baileys client, a second companion of its account, and a whatsio client, all linked by QR.
struct Cast {
    relay: RelayServer,
    baileys: Baileys,
    second: Baileys,
    ours: Ours,
    our_jid: String,
    their_jid: Jid,
}

impl Cast {
    async fn gather() -> Self {
        let relay = RelayServer::bind(RelayOptions::default()).await.expect("the relay listens");
        let mut baileys = Baileys::new(&relay.url());
        baileys.start().await;
        let number = scan(&relay, &baileys.code().await, None).await;
        baileys.open().await;
        let mut second = Baileys::new(&relay.url());
        second.start().await;
        scan(&relay, &second.code().await, Some(&number)).await;
        second.open().await;
        let mut ours = Ours::start(&relay.url(), relay.root_key()).await;
        scan(&relay, &ours.code().await, None).await;
        ours.connected().await;
        let our_jid = ours.jid().await;
        let their_jid = Jid::parse(&baileys.jid).expect("an address");
        Self { relay, baileys, second, ours, our_jid, their_jid }
    }
}

/// The phone scans: over the control API, as other projects' suites do it. Returns the account's number.
async fn scan(relay: &RelayServer, code: &str, account: Option<&str>) -> String {
    let mut url = format!("{}/admin/mock-phone/scan-qr", relay.admin_url());
    if let Some(number) = account {
        url.push_str(&format!("?account={number}"));
    }
    let answer = reqwest::Client::new().post(url).body(code.to_owned()).send().await.expect("an answer");
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.expect("JSON");
    assert!(status.is_success(), "the phone refused: {body}");
    let jid = body["jid"].as_str().expect("the new device's address");
    jid.split([':', '@']).next().expect("a number").to_owned()
}

/// Steps build on each other: each leaves the conversation ready for the next.
async fn texts_pass_in_both_directions(cast: &mut Cast) {
    let report = cast.ours.client.send_text(&cast.their_jid, "hello Baileys").await.expect("sent");
    assert!(report.is_sent());
    let message = cast.baileys.message("hello Baileys").await;
    assert_eq!(message["fromMe"], false);
    cast.second.message("hello Baileys").await;
    cast.ours.receipt(&report.id, &ReceiptKind::Delivered).await;

    let id = cast.baileys.send(&cast.our_jid, "hello whatsio").await;
    let message = cast.ours.message("hello whatsio").await;
    assert_eq!(message.id.as_str(), id);
    assert!(!message.from_me);
    assert_eq!(message.sender_aliases.pn.as_ref().map(ToString::to_string), Some(cast.baileys.jid.clone()));
    cast.baileys.status(&id, 3).await;
    cast.second.message("hello whatsio").await;
}

async fn a_second_companion_sees_the_sent_copy(cast: &mut Cast) {
    cast.baileys.send(&cast.our_jid, "seen by both").await;
    cast.ours.message("seen by both").await;
    let copy = cast.second.message("seen by both").await;
    assert_eq!(copy["fromMe"], true);
}

async fn fifty_messages_each_way_keep_their_order(cast: &mut Cast) {
    let outgoing: Vec<String> = (0..50).map(|number| format!("out {number}")).collect();
    for text in &outgoing {
        cast.ours.client.send_text(&cast.their_jid, text).await.expect("sent");
    }
    assert_eq!(cast.baileys.texts(50).await, outgoing);
    assert_eq!(cast.second.texts(50).await, outgoing);
    let incoming: Vec<String> = (0..50).map(|number| format!("in {number}")).collect();
    for text in &incoming {
        cast.baileys.send(&cast.our_jid, text).await;
    }
    assert_eq!(cast.ours.texts(50).await, incoming);
    assert_eq!(cast.second.texts(50).await, incoming);
}

async fn what_was_sent_while_baileys_was_offline_arrives_in_order(cast: &mut Cast) {
    cast.baileys.stop().await;
    let texts: Vec<String> = (0..20).map(|number| format!("while you were out {number}")).collect();
    for text in &texts {
        cast.ours.client.send_text(&cast.their_jid, text).await.expect("sent");
    }
    assert_eq!(cast.second.texts(20).await, texts);
    cast.baileys.start().await;
    cast.baileys.open().await;
    assert_eq!(cast.baileys.texts(20).await, texts);
}

async fn what_was_sent_while_whatsio_was_offline_arrives_in_order(cast: &mut Cast) {
    cast.ours.client.disconnect().await.expect("disconnects");
    let texts: Vec<String> = (0..20).map(|number| format!("while we were out {number}")).collect();
    for text in &texts {
        cast.baileys.send(&cast.our_jid, text).await;
    }
    cast.ours.client.connect().await.expect("connects");
    assert_eq!(cast.ours.texts(20).await, texts);
    assert_eq!(cast.second.texts(20).await, texts);
}

async fn replies_and_mentions_are_understood_by_the_other_side(cast: &mut Cast) {
    let original = cast.ours.client.send_text(&cast.their_jid, "what time?").await.expect("sent");
    let asked = cast.baileys.message("what time?").await;
    cast.second.message("what time?").await;
    let key = json!({"remoteJid": asked["chat"], "id": asked["id"], "fromMe": false});
    cast.baileys.reply(&cast.our_jid, "noon @you", key, "what time?", &cast.our_jid).await;
    let answer = cast.ours.message("noon @you").await;
    cast.second.message("noon @you").await;
    let parsed = whatsio_proto::e2e::Message::decode(answer.content.clone()).expect("a message");
    assert_eq!(quoted_id_of(&parsed), Some(original.id.as_str()));
    let mentioned: Vec<String> = mentions_of(&parsed).map(|jid| jid.to_string()).collect();
    assert_eq!(mentioned, [cast.our_jid.clone()]);

    let quote = Quote::new(answer.id.as_str(), answer.sender.to_user()).with_content(&parsed);
    let text = Text::new("noon it is").reply_to(quote).mention(&cast.their_jid).into_message();
    cast.ours.client.send(&cast.their_jid, text.encode_to_vec().into()).await.expect("sent");
    let understood = cast.baileys.message("noon it is").await;
    assert_eq!(understood["quoted"], answer.id.as_str());
    assert_eq!(understood["mentions"], json!([cast.their_jid.to_string()]));
    cast.second.message("noon it is").await;
}

async fn reading_is_reported_in_both_directions(cast: &mut Cast) {
    let report = cast.ours.client.send_text(&cast.their_jid, "read this").await.expect("sent");
    let message = cast.baileys.message("read this").await;
    cast.second.message("read this").await;
    cast.baileys.read(&message).await;
    cast.ours.receipt(&report.id, &ReceiptKind::Read).await;

    let id = cast.baileys.send(&cast.our_jid, "and this").await;
    let message = cast.ours.message("and this").await;
    cast.second.message("and this").await;
    cast.ours.client.mark_read(&message.chat, &message.sender, &[message.id.clone()]).await.expect("marked");
    cast.baileys.status(&id, 4).await;
}

async fn nothing_was_lost_doubled_or_unreadable(cast: &mut Cast) {
    assert_eq!(cast.ours.unexpected(), Vec::<&whatsio_core::api::Event>::new());
    assert_eq!(cast.baileys.unexpected(), Vec::<&serde_json::Value>::new());
    assert_eq!(cast.second.unexpected(), Vec::<&serde_json::Value>::new());
}

macro_rules! run_in_order {
    ($cast:ident, $($step:ident),* $(,)?) => {{
        let (mut passed, mut failed) = (0, 0);
        $(
            // A step that fails leaves the conversation in an unknown state: those after it cannot be judged.
            let ok = failed == 0 && std::panic::AssertUnwindSafe($step(&mut $cast)).catch_unwind().await.is_ok();
            println!("{} {}", if ok { "ok    " } else { "FAILED" }, stringify!($step).replace('_', " "));
            if ok { passed += 1 } else { failed += 1 }
        )*
        (passed, failed)
    }};
}

#[tokio::main]
async fn main() -> ExitCode {
    use futures_util::FutureExt;
    println!("Baileys 7.0.0-rc14, twice, and whatsio on one relay, all linked by QR");
    let gathered = std::panic::AssertUnwindSafe(Cast::gather()).catch_unwind().await;
    let Ok(mut cast) = gathered else {
        println!("FAILED everybody links by QR");
        println!("0 passed, 1 failed");
        return ExitCode::FAILURE;
    };
    println!("ok     everybody links by QR");
    let (passed, failed) = run_in_order!(
        cast,
        texts_pass_in_both_directions,
        a_second_companion_sees_the_sent_copy,
        fifty_messages_each_way_keep_their_order,
        what_was_sent_while_baileys_was_offline_arrives_in_order,
        what_was_sent_while_whatsio_was_offline_arrives_in_order,
        replies_and_mentions_are_understood_by_the_other_side,
        reading_is_reported_in_both_directions,
        nothing_was_lost_doubled_or_unreadable,
    );
    cast.relay.shutdown().await;
    println!("{} passed, {failed} failed", passed + 1);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
