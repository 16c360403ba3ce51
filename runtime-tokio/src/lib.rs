//! An async client for WhatsApp's multi-device protocol on tokio.
//!
//! ```no_run
//! use whatsio::api::Event;
//! use whatsio::{Client, SqliteStore, content};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, mut events) = Client::builder().store(SqliteStore::open("whatsio.db")?).start().await?;
//! while let Some(event) = events.next().await {
//!     match event.event() {
//!         Event::QrShown { text, .. } => println!("scan this: {text}"),
//!         Event::MessageReceived(message) if !message.from_me => {
//!             if content::text_of(&message.content).as_deref() == Some("ping") {
//!                 client.reply(message, "pong").await?;
//!             }
//!         }
//!         _ => {}
//!     }
//!     event.handled();
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it owns: sockets ([`transport`]), one task per account, a store behind one writer ([`Storage`]), and with the
//! feature `relay` a server to test against. What it does not know: the protocol, which is `whatsio_core`'s alone.
//!
//! What it promises:
//!
//! * **No event is lost.** A durable event stays in the store until [`Delivery::handled`]; after a crash it comes again,
//!   under the same id.
//! * **No send is lost.** Once accepted it survives restarts; its report comes to whoever waits and as an event.
//! * **Nothing grows without limit.** Who does not read events makes the socket wait.
//! * **Futures may be dropped.** That stops the waiting, never the work.

mod client;
mod clock;
pub mod content;
pub mod profile;
mod recording;
#[cfg(feature = "relay")]
pub mod relay;
mod storage;
pub mod transport;

pub use client::{Client, ClientBuilder, Delivery, Events, OperationError, Queued, SendError, StartError, Stopped};
pub use profile::ProfileError;
pub use recording::Recording;
pub use storage::Storage;
pub use whatsio_core::api;
pub use whatsio_core::client::Identity;
pub use whatsio_core::types::{Jid, Server};
pub use whatsio_store::recording::RecordingError;
pub use whatsio_store::{AccountId, KeySource, MemoryStore, SqliteStore, Store, StoreKey};

// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
