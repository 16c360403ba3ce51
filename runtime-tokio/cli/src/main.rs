//! Command line for whatsio.
fn main() {}
