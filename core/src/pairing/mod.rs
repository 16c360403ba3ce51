//! The signed and encrypted values that linking exchanges, for both sides. Knows neither stanzas nor storage.
