#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whatsio_tests::fuzz::relay::run(bytes));
