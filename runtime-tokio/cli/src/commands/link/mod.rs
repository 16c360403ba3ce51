//! Links this device to a phone: by a QR code, or by a code that is typed on the phone; with a passkey where the account
//! wants one.

mod ask;
mod phone;

use crate::args::{Global, LinkArgs};
use crate::failure::Failure;
use crate::style::Style;
use crate::{qr, session};
use ask::{Answer, Asker};
use phone::Phone;
use std::process::ExitCode;
use tokio::time::{Instant, timeout_at};
use whatsio::api::{CodePurpose, Event, LinkFailureReason, LinkStep, Recommendation};
use whatsio::{Client, Events, OperationError};
use whatsio_core::pairing::Code;

pub(crate) async fn run(global: &Global, args: LinkArgs) -> Result<ExitCode, Failure> {
    let number = args.code.as_deref().map(digits).transpose()?;
    if args.custom.as_deref().is_some_and(|code| Code::parse(code).is_err()) {
        return Err(Failure::Usage("--custom takes eight of 1-9, A-H, J-N, P, Q, R, S, T, V, W, X, Y, Z"));
    }
    let phone = if args.scan { Some(Phone::of(global, args.phone.as_deref().or(number.as_deref()))?) } else { None };
    let (client, mut events) = session::start(global, &args.recording).await?;
    if let Some(identity) = client.identity().await? {
        eprintln!("already linked");
        println!("{}", identity.jid);
        client.shutdown().await;
        return Ok(ExitCode::SUCCESS);
    }
    client.connect().await?;
    let link = Link { args: &args, number, phone, client: &client, asker: Asker::new() };
    let result = timeout_at(Instant::now() + args.timeout, link.until_connected(&mut events)).await;
    client.shutdown().await;
    result.map_err(|_| Failure::TimedOut(args.timeout, "linking"))?
}

/// The number as the server wants it.
fn digits(text: &str) -> Result<String, Failure> {
    let digits: String = text.chars().filter(|c| !matches!(c, '+' | ' ' | '-' | '(' | ')')).collect();
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && (5..=15).contains(&digits.len()) {
        return Ok(digits);
    }
    Err(Failure::Usage("--code takes a phone number with country code: 5 to 15 digits"))
}

struct Link<'a> {
    args: &'a LinkArgs,
    /// The number of the phone on which a code is to be typed.
    number: Option<String>,
    phone: Option<Phone>,
    client: &'a Client,
    asker: Asker,
}

impl Link<'_> {
    async fn until_connected(mut self, events: &mut Events) -> Result<ExitCode, Failure> {
        let (mut shown, mut scanned) = (0, false);
        let (client, custom) = (self.client, self.args.custom.as_deref());
        let number = self.number.clone();
        let requested = async move {
            match &number {
                Some(number) => client.request_pair_code(number, custom).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(requested);
        let mut requesting = true;
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                done = &mut requested, if requesting => {
                    requesting = false;
                    match done {
                        // The same call is ended by a link that was made another way.
                        Ok(()) | Err(OperationError::Superseded) => {}
                        Err(OperationError::ByServer(code)) => {
                            return Err(Failure::LinkFailed(LinkFailureReason::Refused(code)));
                        }
                        Err(error) => return Err(error.into()),
                    }
                    continue;
                }
                answer = self.asker.answer() => {
                    self.pass_on(answer?).await?;
                    continue;
                }
            };
            let Some(event) = event else {
                return Err(self
                    .client
                    .stopped()
                    .map_or(Failure::Other("the client has ended".into()), Failure::Stopped));
            };
            match event.event() {
                Event::QrShown { .. } if self.number.is_some() || scanned => {}
                Event::QrShown { text, valid_ms } => match &self.phone {
                    Some(phone) => {
                        eprintln!("the relay's phone scans the code (good for {} s)", valid_ms / 1000);
                        phone.scan(text).await?;
                        scanned = true;
                    }
                    None => {
                        shown += 1;
                        show(self.args, text, shown, valid_ms / 1000);
                    }
                },
                Event::CodeShown { code, purpose, valid_ms } => self.code(code, *purpose, valid_ms / 1000).await?,
                Event::AssertionNeeded { request } => {
                    // Whoever scanned is through with codes, though the client draws another.
                    scanned = true;
                    self.passkey(request).await?;
                }
                Event::CodeConfirmed => eprintln!("the code was taken; waiting for the phone"),
                Event::Linked { jid, platform, .. } => {
                    eprintln!("linked to a phone ({platform}); logging in");
                    println!("{jid}");
                }
                // A code that is to be typed outlives the QR codes that nobody wants here.
                Event::LinkFailed(failure) if self.number.is_some() && failure.step == LinkStep::Scan => {}
                Event::LinkFailed(failure) => return Err(Failure::LinkFailed(failure.reason)),
                Event::Connected => {
                    eprintln!("{}", Style::of_stderr().good("ready: try `whatsio watch` or `whatsio send`"));
                    return Ok(ExitCode::SUCCESS);
                }
                Event::Disconnected(disconnect)
                    if !matches!(disconnect.recommendation, Recommendation::WaitUntil(_)) =>
                {
                    return Err(Failure::Ended(disconnect.reason.clone()));
                }
                Event::Disconnected(_) => scanned = false,
                _ => {}
            }
        }
    }

    async fn code(&mut self, code: &str, purpose: CodePurpose, seconds: u64) -> Result<(), Failure> {
        match (purpose, &self.phone) {
            (CodePurpose::CompareWithPhone, Some(phone)) => {
                eprintln!("the relay's phone compares the code {code}");
                phone.compare(code).await?;
                Ok(self.client.confirm_code().await?)
            }
            (CodePurpose::CompareWithPhone, None) => {
                eprintln!("The phone shows a code. It must be this one:");
                println!("{code}");
                self.asker.ask_whether_same();
                Ok(())
            }
            (_, Some(phone)) => {
                eprintln!("the code {code} is typed on the relay's phone (good for {seconds} s)");
                phone.enter(code).await
            }
            (_, None) => {
                eprintln!(
                    "On the phone: Settings, Linked devices, Link a device, Link with phone number instead. Then type:"
                );
                println!("{code}");
                eprintln!("(good for {seconds} s)");
                Ok(())
            }
        }
    }

    async fn passkey(&mut self, request: &str) -> Result<(), Failure> {
        if let Some(phone) = &self.phone {
            eprintln!("the relay's passkey allows it");
            let assertion = phone.assert(request).await?;
            return Ok(self.client.provide_assertion(&assertion).await?);
        }
        eprintln!(
            "This account wants a passkey. Pass these options to navigator.credentials.get in its owner's browser:"
        );
        println!("{request}");
        self.asker.ask_for_assertion(self.args.assertion.as_deref());
        Ok(())
    }

    async fn pass_on(&self, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Assertion(json) => self.client.provide_assertion(&json).await?,
            Answer::Same(true) => self.client.confirm_code().await?,
            Answer::Same(false) => self.client.reject_code().await?,
        }
        Ok(())
    }
}

fn show(args: &LinkArgs, text: &str, number: u32, seconds: u64) {
    if args.text {
        println!("{text}");
        return;
    }
    let Some(drawn) = qr::draw(text) else {
        println!("{text}");
        return;
    };
    if number == 1 {
        eprintln!("On the phone: Settings, Linked devices, Link a device. Then point it at this code:");
    } else {
        eprintln!("A new code, the one above is over:");
    }
    let white_on_black = Style::of_stderr().is_on();
    for line in drawn.lines() {
        if white_on_black { eprintln!("\x1b[97;40m{line}\x1b[0m") } else { eprintln!("{line}") }
    }
    eprintln!("(good for {seconds} s; --text prints the text instead)");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(digits("+49 (151) 1234-5678").unwrap(), "4915112345678");
        for text in ["", "123", "1234567890123456", "alice", "4915112345678@s.whatsapp.net"] {
            assert!(matches!(digits(text), Err(Failure::Usage(_))), "{text}");
        }
    }
}
