#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcp_proxy::fuzz::recordings(data));
