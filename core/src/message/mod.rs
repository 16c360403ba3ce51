//! What is inside a ciphertext: content, padding, wrappers, hashes over recipients. Knows neither sessions nor stanzas.
