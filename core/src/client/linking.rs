//! Codes for linking: which one is shown, for how long, what comes after the last.

use super::ending::Ending;
use super::socket::Phase;
use super::{Client, Effect};
use crate::api::{Event, LinkFailure, LinkStep};
use crate::pairing::QrCode;
use crate::stanza::PairDevice;
use std::collections::VecDeque;

/// How long the first of six codes is shown, in milliseconds; the web client's number.
const FIRST_MS: u64 = 60_000;

/// How long every other code is shown.
const NEXT_MS: u64 = 20_000;

/// References that the server gives; more are not kept.
const MOST_REFS: usize = 16;

/// The references that were not shown yet, and how long the one that is shown is good for.
pub(crate) struct Codes {
    waiting: VecDeque<String>,
    until: u64,
}

impl Codes {
    /// When the code that is shown is over.
    pub(crate) const fn deadline(&self) -> u64 {
        self.until
    }
}

impl Client {
    /// The server offers references for codes.
    pub(super) fn show_codes(&mut self, offer: &PairDevice) {
        let first_ms = if offer.refs.len() >= 6 { FIRST_MS } else { NEXT_MS };
        let printable = offer.refs.iter().filter_map(|reference| String::from_utf8(reference.to_vec()).ok());
        let waiting = printable.take(MOST_REFS).collect();
        self.socket.phase = Phase::Linking;
        self.codes = Some(Codes { waiting, until: 0 });
        self.show(first_ms);
    }

    /// The code that was shown is over.
    pub(super) fn show_next_code(&mut self) {
        self.show(NEXT_MS);
    }

    /// The phone's answer was checked and is durable.
    pub(super) fn link_done(&mut self) {
        self.codes = None;
        self.socket.phase = Phase::Confirming;
    }

    fn show(&mut self, valid_ms: u64) {
        let Some(account) = self.account() else { return };
        let Some(codes) = &mut self.codes else { return };
        let Some(reference) = codes.waiting.pop_front() else {
            self.codes = None;
            self.release(Effect::Tell(Event::LinkFailed(LinkFailure {
                step: LinkStep::Scan,
                reason: "nobody scanned a code in time",
            })));
            return self.end(Ending::CodesExpired);
        };
        let platform = self.config.profile.platform;
        let code = QrCode {
            reference,
            noise: account.noise.public,
            identity: account.identity.public,
            adv_secret: account.adv_secret,
            platform: Some(platform.into()),
        };
        codes.until = self.now.mono.saturating_add(valid_ms);
        self.tell(Event::QrShown { text: code.to_text(), valid_ms });
    }
}
