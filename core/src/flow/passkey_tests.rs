//! What a request for a passkey that is told again does, without a client around it.

use super::addresses_tests::{Memory, NOW};
use super::linking;
use super::{Live, pair_passkey};
use crate::api::Config;
use crate::crypto::Rng;
use crate::stanza::PasskeyNotice;
use crate::state::account::{self, Account};
use crate::state::linking::Linking;
use crate::state::{Miss, Stored};
use crate::types::Seed;
use bytes::Bytes;

fn asked(memory: &mut Memory, options: Option<&'static str>) -> Linking {
    let options = options.map(|options| Bytes::from_static(options.as_bytes()));
    let notice = PasskeyNotice::PrologueRequest { options };
    memory.run(|txn| {
        linking::read(txn)?;
        pair_passkey::noticed(txn, &Live::default(), &Config::default(), &notice).map_err(|_| Miss)?;
        linking::read(txn)
    })
}

fn ready() -> Memory {
    let mut memory = Memory::default();
    memory.run(|txn| {
        let account = Account::create(&mut Rng::new(&Seed::new([1; 32])));
        txn.write(account::ID, &account);
        Ok(())
    });
    memory
}

const ONE: &str = r#"{"challenge":"AQID"}"#;
const OTHER: &str = r#"{"challenge":"AQIE"}"#;

#[test]
fn a_request_that_is_told_again_changes_nothing_with_or_without_options() {
    let mut memory = ready();
    let before = asked(&mut memory, Some(ONE)).seal();
    assert_eq!(asked(&mut memory, Some(ONE)).seal(), before);
    assert_eq!(asked(&mut memory, None).seal(), before);
    let mut memory = ready();
    let before = asked(&mut memory, None).passkey.unwrap();
    let after = asked(&mut memory, Some(ONE)).passkey.unwrap();
    assert_eq!(after.stage.request(), Some(&Bytes::from_static(ONE.as_bytes())));
    assert!(after.handoff_key == before.handoff_key && after.handoff_until == before.handoff_until);
}

#[test]
fn nothing_is_proved_with_a_secret_that_the_phone_may_never_have_seen() {
    let mut memory = ready();
    let first = asked(&mut memory, Some(ONE)).passkey.unwrap();
    assert!(first.handoff_until > NOW.unix);
    let second = asked(&mut memory, Some(OTHER)).passkey.unwrap();
    assert_eq!(second.stage.request(), Some(&Bytes::from_static(OTHER.as_bytes())));
    assert!(second.handoff_until <= NOW.unix);
}
