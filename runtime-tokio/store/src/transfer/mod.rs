//! Sessions as files that move between stores.
//!
//! Owns the file's format and the rule that a session never runs in two places: an export stops the account where it was,
//! an import makes a new one and overwrites nothing. Deliberately does not know what a record means. For whoever writes
//! another reader, the repository's `docs/session-format.md` says the same at more length.
//!
//! ```text
//! file     head (72 bytes), chunks
//! head     "whatsio\0", version u16 = 1, lock u8 (0 key, 1 Argon2id), 0,
//!          memory in KiB u32, passes u32, lanes u32 (0 for a key), salt (32), check value (16)
//! chunk    XChaCha20-Poly1305 of 65,536 bytes, the last of 0 to 65,536; the tag behind it
//!          nonce: 15 zeros, number of the chunk u64, 1 for the last or 0; associated data: the head
//! inside   frames: kind u8, length u32, body
//!          1 about (protobuf), first; 2 record: space u8, length of id u8, id, record; 3 end: number of records u64, last
//! ```
//!
//! Numbers are big-endian. The secret is the key, or Argon2id 1.3 of the passphrase and the salt; the key of the chunks is
//! HKDF-SHA-256(salt, secret, `whatsio session stream v1`), the check value 16 bytes of HKDF-SHA-256(salt, secret,
//! `whatsio session check v1`). Each file has a salt of its own, so numbered nonces never repeat under one key; number and
//! end mark in the nonce make chunks that are moved, left out or cut off fail to open.

mod export;
mod frames;
mod head;
mod import;
mod stream;

pub use export::{Export, ExportError, export, export_file};
pub use import::{Import, ImportError, Imported, ReadError, import};

use crate::StoreKey;
use whatsio_core::api::Epoch;
use zeroize::Zeroizing;

/// What a session's file is sealed under. Wiped on drop, never printed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Lock {
    /// A passphrase, stretched by Argon2id: 64 MiB of memory, three passes.
    Passphrase(Zeroizing<String>),
    /// A random key.
    Key(StoreKey),
}

/// The shortest passphrase that an export takes, in bytes.
pub const SHORTEST_PASSPHRASE: usize = 8;

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock(..)")
    }
}

/// What a file says of the session in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// The account's name in the store it comes from.
    pub account: String,
    /// When it was exported, by the clock of that machine.
    pub unix_ms: u64,
    /// What exported it, for people to read.
    pub source: String,
    /// The greatest epoch that a commit of the account carried.
    pub epoch: Epoch,
    /// The account went on running where it was: this is a backup, not a move.
    pub copy: bool,
}
