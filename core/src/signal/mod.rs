//! Pairwise sessions and sender keys as pure values. Knows neither addresses, stanzas nor storage.
