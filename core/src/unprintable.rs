//! Types that hold secrets cannot be printed, so no log line and no panic text can show one. Checked by the compiler.
//!
//! Nothing in this crate can be serialised by `serde` at all: it does not depend on it.

use static_assertions::assert_not_impl_any;
use std::fmt::{Debug, Display};

macro_rules! unprintable {
    ($($secret:ty),* $(,)?) => {
        $(assert_not_impl_any!($secret: Debug, Display);)*

        #[test]
        fn types_that_hold_secrets_wipe_them() {
            let wiped = [$((stringify!($secret), std::mem::needs_drop::<$secret>())),*];
            for (name, is_wiped) in wiped {
                assert!(is_wiped, "{name} is dropped without a trace of work");
            }
        }
    };
}

unprintable! {
    crate::crypto::Secret<32>,
    crate::crypto::PrivateKey,
    crate::crypto::KeyPair,
    crate::crypto::Signer,
    crate::crypto::Rng,
    crate::types::Seed,
    crate::noise::Transport,
    crate::noise::AwaitingServerHello,
    crate::pairing::Code,
    crate::pairing::QrCode,
    crate::pairing::code::AwaitingPrimaryHello,
    crate::pairing::passkey::AwaitingPrimaryIdentity,
    crate::pairing::passkey::AwaitingConfirmation,
    crate::pairing::passkey::PairingInformation,
    crate::signal::chain::RootKey,
    crate::signal::chain::ChainKey,
    crate::signal::chain::MessageSeed,
    crate::signal::chain::MessageKeys,
    crate::signal::PreKey,
    crate::signal::SignedPreKey,
    crate::signal::Session,
    crate::signal::Archive,
    crate::signal::SenderKey,
    crate::signal::SenderKeyRecord,
    crate::message::MessageSecret,
    crate::media::MediaKey,
    crate::media::MediaKeys,
    crate::media::RetryKey,
    crate::app_state::SyncKey,
    crate::app_state::SyncKeyData,
    crate::app_state::MutationKeys,
    crate::app_state::KeyRing,
    crate::state::account::Account,
    crate::state::passkey::PasskeyAttempt,
    crate::state::passkey::PasskeyKeys,
    crate::client::Client,
}
