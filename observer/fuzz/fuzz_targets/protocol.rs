//! Any bytes in both directions are read by any protocol without a panic, and no bound is exceeded. Every protocol of
//! the registry is reached, whatever its probe says of the first bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer::flow::{Data, Direction, FlowLimits, Gap};
use observer::observation::{Basis, Observations};
use observer::protocol::{Context, Inner, PROTOCOLS, ProbeInput, Progress, tls};
use observer::time::Timestamp;

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let Some(protocol) = PROTOCOLS.get(usize::from(*choice) % PROTOCOLS.len()) else { return };
    let limits = FlowLimits { message_bytes: 4096, observations_per_flow: 32, ..FlowLimits::default() };
    let mut observations = Observations::default();
    let mut certificates = tls::CertificateCache::default();
    // Secrets may come yet: ciphertext is held.
    let mut secrets = tls::KeyLog::default();
    secrets.set_growing(true);
    let mut issued = Vec::new();
    let mut ciphertext = 0;
    let mut trials = tls::Trials::default();
    let mut inner = Inner::default();
    let mut resolutions = Vec::new();
    let mut transfers = Vec::new();
    let mut cut_short = std::collections::BTreeMap::new();
    let mut analyzer = (protocol.analyzer)();
    let mut rest = rest;
    let mut frame = 0;
    while let [head, tail @ ..] = rest {
        let (bytes, after) = tail.split_at(usize::from(head >> 1).min(tail.len()));
        rest = after;
        frame += 1;
        let direction = if head & 1 > 0 { Direction::ToResponder } else { Direction::ToOriginator };
        let mut cx = Context {
            observations: &mut observations,
            inner: &mut inner,
            entered: Vec::new(),
            resolutions: &mut resolutions,
            issued: &mut issued,
            transfers: &mut transfers,
            cut_short: &mut cut_short,
            secrets: &secrets,
            ciphertext: &mut ciphertext,
            trials: &mut trials,
            certificates: &mut certificates,
            limits: &limits,
            frame,
            at: Timestamp(0),
            basis: Basis::Observed,
        };
        let progress = if bytes.is_empty() {
            analyzer.gap(Gap { direction, len: u64::from(head >> 1) + 1, frame, at: Timestamp(0) }, &mut cx)
        } else {
            let _ = (protocol.probe)(&ProbeInput { bytes, other: &[], earlier: &[], direction, midstream: head & 2 > 0, port: 443 });
            analyzer.data(Data { direction, bytes, frame, at: Timestamp(0) }, &mut cx)
        };
        if progress != Progress::NeedMore {
            break;
        }
    }
    assert!(ciphertext <= limits.ciphertext_per_shard);
    assert!(observations.iter().count() <= limits.observations_per_flow);
    let _ = tls::Session::fold(&observations);
});
