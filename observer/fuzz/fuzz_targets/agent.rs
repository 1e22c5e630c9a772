//! Any bytes are read as an agent's stream, and as a host's, without a panic; what was read, and no more than the input holds,
//! is there.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use observer::android::agent::{DeviceMessage, HostMessage, read_message, read_preamble};

fuzz_target!(|data: &[u8]| {
    let mut reader = Cursor::new(data);
    let _ = read_preamble(&mut reader);
    let mut bytes = 0;
    while let Ok(Some(message)) = read_message::<DeviceMessage>(&mut reader) {
        bytes += message.body.len();
    }
    assert!(bytes <= data.len());
    let mut reader = Cursor::new(data);
    while let Ok(Some(message)) = read_message::<HostMessage>(&mut reader) {
        assert!(message.body.len() <= data.len());
    }
    // With lengths that hold, so that every input reaches the headers.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
    let framed = [&length[..], &[0; 12], data].concat();
    let _ = read_message::<DeviceMessage>(&mut Cursor::new(&framed));
    let _ = read_message::<HostMessage>(&mut Cursor::new(&framed));
});
