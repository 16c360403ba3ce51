//! Primitives with one spelling each: generator, secrets, curve, hashes and ciphers. Knows nothing of the protocol.
