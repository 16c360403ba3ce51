//! Texts that people or cameras bring: linking codes of both kinds, addresses, usernames.

use super::script::Script;
use std::sync::LazyLock;
use whatsio_core::crypto::{KeyPair, Secret};
use whatsio_core::pairing::qr::PlatformId;
use whatsio_core::pairing::{Code, QrCode};
use whatsio_core::relay::{Relay, RelayConfig};
use whatsio_core::types::{Jid, Now, Seed, Username};

/// A byte of choices, then a text, or damage to a genuine one.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let is_damaged = script.byte() & 1 != 0;
    let bytes = if is_damaged { script.damaged(GENUINE.as_bytes()) } else { script.rest().to_vec() };
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    qr(text);
    code(text);
    if let Ok(jid) = Jid::parse(text) {
        let shown = jid.to_string();
        let again = Jid::parse(&shown).expect("what is shown is read");
        assert!(again == jid, "{shown} is another address than {text}");
        assert!(again.to_user().same_user(&jid));
        let _ = (jid.full_form(), format!("{jid:?}"));
    }
    if let Some(name) = Username::parse(text) {
        assert!(Username::parse(name.as_str()).is_some_and(|again| again == name));
        let _ = name.folded();
    }
}

fn qr(text: &str) {
    let Ok(code) = QrCode::parse(text) else { return };
    let shown = code.to_text();
    assert!(QrCode::parse(&shown).is_ok_and(|again| again == code), "what is shown is not what was read");
    if let Some(platform) = &code.platform {
        assert!(PlatformId::new(platform.as_str()).is_ok());
    }
    // A phone that scans it: nobody waits for this code, so nothing may come of it.
    let now = Now { mono: 1_000, unix: 1_790_000_000_000 };
    let mut relay = Relay::new(RelayConfig::default(), Seed::new([1; 32]), now);
    assert!(relay.scan_qr(now, None, text).is_err());
    assert!(relay.accounts().is_empty() && relay.poll().is_none(), "refused, and changed all the same");
}

fn code(text: &str) {
    let Ok(code) = Code::parse(text) else { return };
    assert_eq!(code.as_str().len(), 8);
    assert!(Code::parse(&code.shown()).is_ok_and(|again| again == code), "what is shown is not what was read");
}

static GENUINE: LazyLock<String> = LazyLock::new(|| {
    let code = QrCode {
        reference: "2@reference".into(),
        noise: KeyPair::from_private([1; 32]).public,
        identity: KeyPair::from_private([2; 32]).public,
        adv_secret: Secret::new([3; 32]),
        platform: PlatformId::new("1").ok(),
    };
    code.to_text()
});
