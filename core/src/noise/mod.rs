//! The encrypted socket: handshake patterns, transport ciphers, certificates, frames. Knows nothing of stanzas.
