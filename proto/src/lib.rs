//! The protocol schema as Rust types.

pub mod fields;
