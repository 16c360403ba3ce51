//! The protocol schema as Rust types.
