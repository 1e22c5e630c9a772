//! Any text is read as a package list and as a policy without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer::attribution::AppDirectory;
use observer::policy::Policy;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut directory = AppDirectory::default();
    let lines = directory.read(text);
    assert!(lines <= text.lines().count() as u64);
    let _ = Policy::parse(text);
});
