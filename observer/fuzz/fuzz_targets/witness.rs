//! Whatever claims to be a log, an instrumentation's output or a file of results is read without a panic; an output that arrives in
//! pieces says the same as in one piece; and no more comes out than there are lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer::android::instrument::{self, Instrument};
use observer::android::junit;
use observer::android::logcat::{Assumed, Logcat};
use observer::report::steps::Steps;
use observer::source::Marker;
use observer::time::Timestamp;

fuzz_target!(|data: &[u8]| {
    let (cut, bytes) = match data.split_first() {
        Some((cut, bytes)) => (usize::from(*cut).min(bytes.len()), bytes),
        None => return,
    };
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let whole = log(&[bytes]);
    assert_eq!(whole, log(&[&bytes[..cut], &bytes[cut..]]));
    assert!(whole.len() <= lines);
    let whole = output(&[bytes]);
    assert_eq!(whole, output(&[&bytes[..cut], &bytes[cut..]]));
    // The first status also begins the run, and the end of the output ends it.
    assert!(whole.len() <= 2 * lines + 1);
    let mut markers = whole;
    let _ = instrument::read(&mut &bytes[..], &mut |marker| markers.push(marker));
    let _ = junit::read(&mut &bytes[..], &Assumed::utc(Timestamp(0)).zone, &mut |marker| markers.push(marker));
    let steps = Steps::new(&markers);
    assert!(steps.all().len() <= markers.len());
});

fn log(pieces: &[&[u8]]) -> Vec<Marker> {
    let (mut log, mut markers) = (Logcat::new(Assumed::utc(Timestamp(0))), Vec::new());
    for piece in pieces {
        log.feed(piece, &mut |marker| markers.push(marker));
    }
    log.finish(&mut |marker| markers.push(marker));
    markers
}

fn output(pieces: &[&[u8]]) -> Vec<Marker> {
    let (mut output, mut markers) = (Instrument::default(), Vec::new());
    for piece in pieces {
        output.feed(piece, Timestamp(0), &mut |marker| markers.push(marker));
    }
    output.finish(Timestamp(0), &mut |marker| markers.push(marker));
    markers
}
