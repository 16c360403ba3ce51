//! Recordings of clients as files: sealed, or redacted to be shared.
//!
//! Owns the files' forms and limits. Deliberately does not know what an entry means: what is written comes from
//! [`whatsio_core::recording`], and what is read goes there or to [`whatsio_core::replay`]. For people, the repository's
//! `docs/recording.md` says the same at more length.
//!
//! ```text
//! sealed    head (60 bytes), frames
//! head      "whatsrec", version u16 = 1, 0 u16, salt (32), check value (16)
//! frame     kind u8, length of the body u32, body under XChaCha20-Poly1305, tag (16)
//!           nonce: 15 zeros, number of the frame u64, kind; associated data: the head
//! kinds     1 entries, in order, cut anywhere; 2 the end: why (u8)
//! redacted  "whatsio redacted recording 1\n", lines
//! ```
//!
//! Numbers are big-endian. The key of the frames is HKDF-SHA-256(salt, key, `whatsio recording frames v1`), the check value
//! 16 bytes of HKDF-SHA-256(salt, key, `whatsio recording check v1`). Each file has a salt of its own, so numbered nonces
//! never repeat under one key; frames that are moved, left out in the middle or altered fail to open. A file without an
//! end was cut off: its process died, or somebody shortened it.
//!
//! A file is made new, for its owner's eyes only, and never replaced. At its limit it ends: a recording can only be run
//! from its beginning, so there is nothing to make room for.

mod file;
mod read;
mod sealed;

pub use file::{RecordingError, RedactedFile, SealedFile, Written};
pub use read::{Content, RecordingFile, RecordingReadError, Tail};

/// How long a file may become when nothing else is said.
pub const LONGEST_FILE: u64 = 256 << 20;

/// What a redacted file begins with.
const REDACTED: &[u8] = b"whatsio redacted recording 1\n";
