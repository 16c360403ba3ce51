//! The rows of the table: what every pair must be able to do. Steps build on each other; each leaves the conversation
//! ready for the next.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::actor::{Actor, Kind, Outcome};
use crate::stage::{Stage, removed};

/// Two accounts with two devices each. Both kinds of client are linked in both ways, and each account has both.
pub(crate) struct Pair {
    pub(crate) stage: Stage,
    sender: Actor,
    sender_second: Actor,
    receiver: Actor,
    receiver_second: Actor,
    /// Every message sent so far, by its id, with the text.
    ledger: BTreeMap<String, String>,
}

impl Pair {
    pub(crate) async fn new(sender: Kind, receiver: Kind) -> Self {
        let stage = Stage::open().await;
        let actor = |kind, role| Actor::new(kind, role, &stage.address);
        Self {
            sender: actor(sender, "sender"),
            sender_second: actor(receiver, "the sender's second"),
            receiver: actor(receiver, "receiver"),
            receiver_second: actor(sender, "the receiver's second"),
            ledger: BTreeMap::new(),
            stage,
        }
    }

    /// A new id with a text for it.
    fn next(&mut self, about: &str) -> (String, String) {
        let number = self.ledger.len() + 1;
        let (id, text) = (format!("3EB0{number:016X}"), format!("{about} {number}"));
        self.ledger.insert(id.clone(), text.clone());
        (id, text)
    }

    /// Sends a message and waits until the server has it.
    async fn say(&mut self, about: &str) -> Outcome<String> {
        let (id, text) = self.next(about);
        self.sender.send(&self.receiver.jid, &id, &text).await?;
        Ok(id)
    }

    /// Waits until the second devices have shown a message too.
    async fn seconds_show(&mut self, id: &str) -> Outcome {
        self.sender_second.message(id).await?;
        self.receiver_second.message(id).await?;
        Ok(())
    }
}

/// One row: its name and what it does.
macro_rules! rows {
    ($($name:literal $check:ident),* $(,)?) => {
        /// The names of the rows, in order.
        pub(crate) const ROWS: &[&str] = &[$($name),*];

        /// Runs one row.
        pub(crate) async fn run(row: usize, pair: &mut Pair) -> Outcome {
            let mut number = 0;
            $(
                if row == number {
                    return $check(pair).await;
                }
                number += 1;
            )*
            Err(format!("there is no row {row} of {number}"))
        }
    };
}

rows! {
    "link by QR" link_by_qr,
    "link by code" link_by_code,
    "text, reply, mention" text_reply_and_mention,
    "50 messages in order" fifty_messages,
    "receiver offline, then online" receiver_offline_then_online,
    "sender killed between messages" sender_killed_between_messages,
    "second companion sees the sent copy" second_companion_sees_the_copy,
    "failed decryption repaired by retry" failed_decryption_is_repaired,
    "receipts: delivered, read" receipts,
    "nothing lost, doubled, unreadable" nothing_lost_or_doubled,
    "no counter used twice" no_counter_used_twice,
    "log out" log_out,
}

async fn link_by_qr(pair: &mut Pair) -> Outcome {
    pair.stage.link_by_qr(&mut pair.sender, SENDER).await?;
    pair.stage.link_by_qr(&mut pair.sender_second, SENDER).await
}

async fn link_by_code(pair: &mut Pair) -> Outcome {
    pair.stage.link_by_code(&mut pair.receiver, RECEIVER).await?;
    pair.stage.link_by_code(&mut pair.receiver_second, RECEIVER).await
}

async fn text_reply_and_mention(pair: &mut Pair) -> Outcome {
    let (question, text) = pair.next("what time?");
    pair.sender.send(&pair.receiver.jid, &question, &text).await?;
    let asked = pair.receiver.message(&question).await?;
    expect("the text", &asked["text"], &json!(text))?;
    expect("whose it is", &asked["mine"], &json!(false))?;
    let reply = json!({"id": question, "sender": pair.sender.jid, "text": text});

    let (answer, text) = pair.next("noon @you");
    let to_sender = pair.sender.jid.clone();
    let order =
        json!({"do": "send", "chat": to_sender, "id": answer, "text": text, "reply": reply, "mention": to_sender});
    pair.receiver.order(order).await?;
    pair.receiver.sent(&answer).await?;
    let understood = pair.sender.message(&answer).await?;
    expect("what is answered", &understood["quoted"], &json!(question))?;
    expect("who is mentioned", &understood["mentions"], &json!([to_sender]))?;
    let reply = json!({"id": answer, "sender": pair.receiver.jid, "text": text});

    let (end, text) = pair.next("noon it is @you");
    let to_receiver = pair.receiver.jid.clone();
    let order =
        json!({"do": "send", "chat": to_receiver, "id": end, "text": text, "reply": reply, "mention": to_receiver});
    pair.sender.order(order).await?;
    pair.sender.sent(&end).await?;
    let understood = pair.receiver.message(&end).await?;
    expect("what is answered", &understood["quoted"], &json!(answer))?;
    expect("who is mentioned", &understood["mentions"], &json!([to_receiver]))?;
    for id in [question, answer, end] {
        pair.seconds_show(&id).await?;
    }
    Ok(())
}

async fn fifty_messages(pair: &mut Pair) -> Outcome {
    let mut ids = Vec::new();
    for _ in 0..50 {
        let (id, text) = pair.next("one of fifty");
        pair.sender.order(json!({"do": "send", "chat": pair.receiver.jid, "id": id, "text": text})).await?;
        ids.push(id);
    }
    for id in &ids {
        pair.sender.sent(id).await?;
    }
    pair.receiver.messages(&ids).await?;
    pair.sender_second.messages(&ids).await?;
    pair.receiver_second.messages(&ids).await
}

async fn receiver_offline_then_online(pair: &mut Pair) -> Outcome {
    pair.receiver.disconnect().await?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(pair.say("while you were out").await?);
    }
    pair.receiver_second.messages(&ids).await?;
    pair.sender_second.messages(&ids).await?;
    pair.receiver.connect().await?;
    pair.receiver.messages(&ids).await
}

async fn sender_killed_between_messages(pair: &mut Pair) -> Outcome {
    for _ in 0..3 {
        let before = pair.say("before the kill").await?;
        pair.sender.kill().await;
        pair.sender.start()?;
        pair.sender.connect().await?;
        let after = pair.say("after the kill").await?;
        let both = [before, after];
        pair.receiver.messages(&both).await?;
        pair.sender_second.messages(&both).await?;
        pair.receiver_second.messages(&both).await?;
    }
    Ok(())
}

async fn second_companion_sees_the_copy(pair: &mut Pair) -> Outcome {
    let id = pair.say("seen by both").await?;
    let copy = pair.sender_second.message(&id).await?;
    expect("whose it is", &copy["mine"], &json!(true))?;
    expect("the text", &copy["text"], &json!(pair.ledger[&id]))?;
    if ![&pair.receiver.jid, &pair.receiver.lid].iter().any(|own| copy["chat"] == own.as_str()) {
        return Err(format!("the copy is shown in the chat {}", copy["chat"]));
    }
    pair.receiver.message(&id).await?;
    pair.receiver_second.message(&id).await?;
    Ok(())
}

async fn failed_decryption_is_repaired(pair: &mut Pair) -> Outcome {
    pair.stage.damage_next_for(&pair.receiver.device).await?;
    let id = pair.say("damaged on the way").await?;
    pair.receiver.wait("the failure", |event| event["is"] == "undecryptable" && event["id"] == id.as_str()).await?;
    let repaired = pair.receiver.message(&id).await?;
    expect("the text", &repaired["text"], &json!(pair.ledger[&id]))?;
    pair.seconds_show(&id).await?;
    // The session is whole afterwards.
    let next = pair.say("and the next one").await?;
    pair.receiver.message(&next).await?;
    pair.seconds_show(&next).await
}

async fn receipts(pair: &mut Pair) -> Outcome {
    let id = pair.say("read this").await?;
    pair.sender.receipt(&id, "delivered").await?;
    let message = pair.receiver.message(&id).await?;
    let order = json!({"do": "read", "chat": message["chat"], "sender": message["from"], "id": id});
    pair.receiver.order(order).await?;
    pair.sender.receipt(&id, "read").await?;
    pair.seconds_show(&id).await
}

/// A last message goes both ways; it comes after all others, so what is not there then is lost.
async fn nothing_lost_or_doubled(pair: &mut Pair) -> Outcome {
    let there = pair.say("the last one there").await?;
    let (back, text) = pair.next("the last one back");
    pair.receiver.send(&pair.sender.jid, &back, &text).await?;
    pair.receiver.message(&there).await?;
    pair.sender.message(&back).await?;
    for id in [&there, &back] {
        pair.seconds_show(id).await?;
    }
    let Pair { sender, sender_second, receiver, receiver_second, ledger, .. } = pair;
    for actor in [&mut *sender, sender_second, receiver, receiver_second] {
        let bad = actor.take_seen(|event| event["is"] == "undecryptable" || event["is"] == "failed");
        if !bad.is_empty() {
            return Err(format!("{} complains: {}", actor.kind.name(), json!(bad)));
        }
    }
    let accounts = [(&*sender, &*receiver), (&*receiver, &*sender)];
    let mut shown: BTreeMap<&str, u32> = BTreeMap::new();
    for (one, _) in accounts {
        for (id, text) in &one.shown {
            expect("a text", &json!(text), &json!(ledger.get(id)))?;
            *shown.entry(id.as_str()).or_default() += 1;
        }
    }
    // Each message was sent by one of the two and shown by the other.
    for id in ledger.keys() {
        match shown.get(id.as_str()) {
            Some(1) => {}
            times => return Err(format!("{id} was shown {} times", times.copied().unwrap_or(0))),
        }
    }
    for second in [&*sender_second, &*receiver_second] {
        let ids: Vec<&String> = second.shown.iter().map(|(id, _)| id).collect();
        let all: Vec<&String> = ledger.keys().collect();
        if ids != all {
            return Err(format!(
                "{} as a second companion shows {} of {} in order",
                second.kind.name(),
                ids.len(),
                all.len()
            ));
        }
    }
    Ok(())
}

async fn no_counter_used_twice(pair: &mut Pair) -> Outcome {
    let report = pair.stage.counters().await;
    if report.seen == 0 || report.unwatched > 0 {
        return Err(format!("the oracle is blind: {report:?}"));
    }
    if report.reused.is_empty() { Ok(()) } else { Err(format!("used twice: {:?}", report.reused)) }
}

async fn log_out(pair: &mut Pair) -> Outcome {
    let mut events = pair.stage.events();
    for actor in [&mut pair.sender, &mut pair.receiver] {
        actor.order(json!({"do": "logout"})).await?;
        actor.wait("the logout", |event| event["is"] == "logged_out").await?;
        removed(&mut events, &actor.device).await?;
    }
    Ok(())
}

fn expect(what: &str, found: &Value, wanted: &Value) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found}, not {wanted}")) }
}

const SENDER: &str = "15550200001";
const RECEIVER: &str = "15550200002";
