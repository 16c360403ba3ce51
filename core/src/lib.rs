//! A sans-IO core for WhatsApp's multi-device web protocol.
//!
//! [`client::Client`] is one account's whole protocol as a state machine. It takes data (bytes from a socket, a clock
//! reading, records from a store, a command) and returns data (frames, records to store, events, the next deadline). It
//! has no socket, clock, thread, future, lock or global: the same inputs give the same bytes, anywhere.
//!
//! # The loop
//!
//! ```
//! use whatsio_core::api::{Config, Input, Output};
//! use whatsio_core::client::Client;
//! use whatsio_core::types::{Now, Seed};
//!
//! let now = Now { mono: 0, unix: 1_790_000_000_000 };
//! let mut client = Client::create(Config::default(), Seed::new([7; 32])); // real hosts ask their system for entropy
//! client.connect(now)?;
//! while let Some(output) = client.poll() {
//!     match output {
//!         Output::Load(load) => client.handle(now, Input::Loaded(load.id, vec![None; load.keys.len()]))?,
//!         Output::Commit(commit) => client.handle(now, Input::Committed(commit.id))?, // after writing it durably
//!         Output::Open(endpoint) => assert_eq!(endpoint.url, "wss://web.whatsapp.com/ws/chat"),
//!         Output::Frame(_bytes) => {} // write to the socket
//!         Output::Close => {}         // close it
//!         Output::Event(_event) => {} // hand to the application
//!         _ => {}
//!     }
//! }
//! // Nothing left to do: wait for bytes, an answer of the store, a command, or this moment.
//! let _until = client.next_deadline();
//! # Ok::<(), whatsio_core::api::Misuse>(())
//! ```
//!
//! # The host's five duties
//!
//! 1. Commit atomically and durably, then say `Committed`. Durable survives a power cut.
//! 2. Answer a load from state not older than the last `Committed` at the time when the load was given.
//! 3. Write frames in the order given; report `Closed` once.
//! 4. Call again at `next_deadline`; stop reading the socket while `wants_frames` is false.
//! 5. Say `Handled` once the application has safely taken a durable event.
//!
//! In return: nothing leaves the core before what it depends on is on disk. Kill the process at any instruction, and no
//! message is lost, none comes twice under another event id, and no counter of a ratchet is used twice.
//!
//! # Rooms
//!
//! [`api`] is the vocabulary of the boundary. [`binary`], [`noise`], [`pairing`], [`signal`], [`message`], [`app_state`]
//! and [`media`] are pure values and codecs that can be used by themselves. With the feature `relay`, [`relay`] is the
//! server's half of the protocol as a second machine of the same kind. [`recording`] writes down what happens to a client,
//! [`replay`] runs it again.

#![forbid(unsafe_code)]

pub mod adopt;
pub mod api;
pub mod app_state;
pub mod binary;
pub mod client;
pub mod crypto;
mod flow;
pub mod media;
pub mod message;
pub mod noise;
pub mod pairing;
pub mod recording;
#[cfg(feature = "relay")]
pub mod relay;
pub mod replay;
pub mod signal;
pub mod stanza;
mod state;
pub mod types;
#[cfg(test)]
mod unprintable;
