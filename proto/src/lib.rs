//! The protocol's messages as Rust types, one module per protobuf package.
//!
//! The schema in `schema/` is the source: our own `.proto` files, grouped by domain. The code under `generated/` is made
//! from it and checked in, so that building needs no protobuf compiler. After a change of the schema run
//! `WHATSIO_BLESS=1 cargo test -p whatsio-proto`; without the variable the same test fails while the two differ.
//!
//! What a reader should know about the types:
//!
//! * **Nothing is required.** Every singular field is an `Option`, also those that other clients refuse to miss: a lost
//!   field must not make a whole message unreadable. Who encodes has to set them.
//! * **Unknown fields are dropped** in decoding. What is signed, hashed or relayed has to be kept as bytes; the schema has
//!   `bytes` fields in these places.
//! * **Unknown enum numbers survive**: enum fields are `i32` with typed accessors.
//! * **`Debug` prints the type's name and nothing else.** Most of these types hold keys, addresses or what people wrote.
//! * **Large messages are boxed** wherever they stand inside of others, and so is all content of [`e2e::Message`] and
//!   [`sync_action::SyncActionValue`], which have a hundred fields of which one is set.
//!
//! This crate deliberately knows nothing of encryption, padding, or which field means what to whom.

/// Declares a package's module around its generated code. The one place where lints are relaxed for that code.
macro_rules! package {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[allow(missing_docs, unused_qualifications, clippy::all, clippy::use_self, rustdoc::all)]
        pub mod $name {
            include!(concat!("generated/", stringify!($name), ".rs"));
        }
    };
}

/// Implements a `Debug` that names the type and shows nothing of what it holds.
macro_rules! redacted_debug {
    ($type:ty, $name:literal) => {
        impl ::core::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(concat!($name, " { .. }"))
            }
        }
    };
}

pub mod fields;

pub use prost;

package! {
    /// Account and device authority: signed device identities and signed lists of valid key indexes.
    adv
}
package! {
    /// Attestation of messages that are not end-to-end encrypted.
    aea
}
package! {
    /// Metadata and rich answers of bots.
    ai_common
}
package! {
    /// The older part of rich bot answers that messages still refer to.
    ai_common_deprecated
}
package! {
    /// The certificate chain a server presents inside the handshake.
    cert
}
package! {
    /// Settings of locked chats.
    chat_lock
}
package! {
    /// Message keys, mentions and limits on sharing.
    common
}
package! {
    /// What a companion device says about itself, and the messages of pairing by code or passkey.
    companion_reg
}
package! {
    /// What a device of the account is able to do.
    device_capabilities
}
package! {
    /// The plaintext of an end-to-end encrypted message, and everything that can be inside it.
    e2e
}
package! {
    /// The setting for disappearing messages in the old settings store.
    ephemeral
}
package! {
    /// The security number two users compare by QR code.
    fingerprint
}
package! {
    /// The history the phone hands to a companion.
    history_sync
}
package! {
    /// The mapping from phone numbers to LIDs that is pushed when an account migrates.
    lid_migration
}
package! {
    /// Asking the sender's phone to upload a medium again, and its answer.
    mms_retry
}
package! {
    /// Which fields of a message enter its reporting token.
    reporting
}
package! {
    /// Shape of the edge-routing blob. Clients hand it back unread.
    routing_info
}
package! {
    /// Patches and snapshots of the synchronised application state, still encrypted.
    server_sync
}
package! {
    /// Messages and classic storage records of the Signal protocol.
    signal
}
package! {
    /// Where a status post was taken from.
    status_attributions
}
package! {
    /// The plaintext of a mutation of the application state.
    sync_action
}
package! {
    /// Recovering a broken collection of application state through the phone.
    syncd_snapshot_recovery
}
package! {
    /// A stored password record, used by the chat lock.
    user_password
}
package! {
    /// Certificates of verified business names.
    vname_cert
}
package! {
    /// Handshake messages and the payload a client logs in or registers with.
    wa6
}
package! {
    /// Messages as they are stored, with receipts, reactions and poll updates.
    web
}
