//! Durable record stores for whatsio.
