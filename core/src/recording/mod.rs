//! Recordings: everything that happened to a client, as bytes, so that it can be run again.
//!
//! Owns the form of a recording, the tap that writes one, the redacted form that can be shared, and the check of what a
//! host did. Knows neither files nor how a client works; running a recording again is [`replay`](crate::replay)'s.
//!
//! A recording holds keys and contents: whoever writes it to a disk seals it there. It is a row of [`Entry`]s, each
//! written before what it tells of takes place, so that a recording which ends in a crash holds its cause. Of outputs only
//! a [`Shape`] with a digest is kept, since a replay makes them again.
//!
//! Limits: an entry has at most [`LONGEST_ENTRY`] bytes. What the host has not taken has a limit of the host's choice;
//! at it the recording ends with [`Ended::Behind`], and the client goes on.

mod begin;
mod call;
mod check;
mod entry;
mod frames;
mod line;
mod redact;
mod shape;
mod tap;
mod wire;

pub use begin::{Begin, FORMAT};
pub use call::{Call, Hidden};
pub use check::{Check, Contract, Violation};
pub(crate) use entry::Answered;
pub use entry::{Answer, Ended, Entry, Reader, Writer};
pub use frames::LONGEST_ENTRY;
pub use line::{Line, LineReader, What};
pub use redact::{Redactor, Sizes};
pub use shape::{Digest, Kind, Shape, Writes};
pub(crate) use tap::Tap;

/// What a host that has no opinion allows to wait: [`Client::create_recorded`](crate::client::Client::create_recorded).
pub const UNTAKEN_BYTES: usize = 16 << 20;

/// Why a recording cannot be read on. What was read before is good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not a recording, or its beginning is missing.
    #[error("it does not begin as a recording does")]
    NotBegun,
    /// A newer library made it.
    #[error("it is of form {found}; this version reads form {known}")]
    Newer {
        /// Its form.
        found: u64,
        /// The form that is read.
        known: u64,
    },
    /// An entry is not what was written.
    #[error("entry {entry} was altered")]
    Altered {
        /// Which, counted from 0.
        entry: u64,
    },
    /// An entry claims to be longer than any is.
    #[error("entry {entry} is too long")]
    TooLong {
        /// Which.
        entry: u64,
    },
    /// An entry does not say what it must.
    #[error("entry {entry} is malformed: {what}")]
    Malformed {
        /// Which.
        entry: u64,
        /// What is wrong.
        what: &'static str,
    },
}
