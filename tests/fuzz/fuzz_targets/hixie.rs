#![no_main]

#[path = "../targets/cuts.rs"]
mod cuts;
#[path = "../targets/ops.rs"]
mod ops;
#[path = "../targets/hixie.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
