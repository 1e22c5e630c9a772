//! Any bytes are analyzed without a panic, and the output is the same with one thread and with three.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use observer::pipeline::{self, Options};
use observer::report::json::FlowLog;
use observer::report::secrets::Secrets;
use observer::source;

fn analyze(data: &[u8], threads: usize) -> Option<Vec<u8>> {
    let source = source::read("input", Box::new(Cursor::new(data.to_vec()))).ok()?;
    let options = Options { threads, ..Options::default() };
    let mut log = FlowLog::new(Secrets::default()).ok()?;
    let run = pipeline::analyze(source, &options, &mut [&mut log], &mut |_, _| {}).ok()?;
    let mut out = Vec::new();
    log.render_lines(&run, &mut out).ok()?;
    Some(out)
}

fuzz_target!(|data: &[u8]| {
    assert_eq!(analyze(data, 1), analyze(data, 3));
});
