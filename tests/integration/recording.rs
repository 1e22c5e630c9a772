//! What a recording keeps: every capture of the project, recorded with made-up owners and read back.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use observer::attribution::{AppDirectory, Confidence, Method, Owner, SocketOwner, owner_of_socket};
use observer::decode::{FiveTuple, Transport};
use observer::observation::{Flow, FlowSink, SinkError};
use observer::pipeline::{self, Options};
use observer::recording::{RecorderHandle, RecorderOptions};
use observer::source::{self, FrameBatch, LinkDirection, LinkType, Source};
use observer::time::Timestamp;

/// Apps with one package, and two that share a uid.
fn directory() -> AppDirectory {
    let mut directory = AppDirectory::default();
    for uid in 10_100..10_140 {
        directory.add(uid, &format!("com.app{uid}"), &format!("App {uid}"));
    }
    for uid in 10_140..10_150 {
        directory.add(uid, &format!("org.one{uid}"), "");
        directory.add(uid, &format!("org.two{uid}"), "Two");
    }
    directory
}

/// The owner of a flow: made up from its ports, which are the same on both sides of a translator.
fn made_up(tuple: &FiveTuple, directory: &AppDirectory) -> Owner {
    let ports = [tuple.source.port, tuple.destination.port];
    let seed = u32::from(ports[0]) ^ u32::from(ports[1]) ^ u32::from(tuple.transport == Transport::Tcp);
    let is_android = !directory.is_empty();
    // Apps, of a second user, too; netd; apps that no directory knows.
    let uid = match seed % 70 {
        app @ 0..50 => 10_100 + app,
        app @ 50..60 => 1_010_050 + app,
        60 => 1051,
        app => 10_100 + app,
    };
    let confidence = if seed.is_multiple_of(3) { Confidence::Polled } else { Confidence::Exact };
    let socket = SocketOwner {
        uid: Some(if is_android { uid } else { 1000 + seed % 5 }),
        user: (!is_android).then(|| format!("user{}", seed % 5)),
        pid: Some(1 + seed),
        process: (!seed.is_multiple_of(4)).then(|| format!("/opt/app {}/run", seed % 7)),
        unit: (!is_android).then(|| format!("app{}.service", seed % 7)),
        ..SocketOwner::new(Method::Ebpf, confidence)
    };
    owner_of_socket(&socket, directory)
}

/// What is to come back of each frame.
type Seen = (Timestamp, LinkType, Vec<u8>, u32, Option<LinkDirection>);

fn frames(batch: &FrameBatch) -> impl Iterator<Item = Seen> + '_ {
    batch.iter().map(|frame| {
        let direction = frame.annotations.and_then(|annotations| annotations.direction);
        (
            frame.timestamp.max(Timestamp(0)),
            frame.link_type,
            frame.data.to_vec(),
            frame.original_len,
            direction,
        )
    })
}

fn drain(source: &mut dyn Source, mut each: impl FnMut(&FrameBatch)) -> Result<Vec<Seen>, Box<dyn Error>> {
    let mut seen = Vec::new();
    while let Some(batch) = source.next_batch()? {
        seen.extend(frames(&batch));
        each(&batch);
    }
    Ok(seen)
}

/// Records `capture` as `recording`; the frames, if it is a capture.
fn record(
    capture: &Path,
    recording: &Path,
    directory: &AppDirectory,
) -> Result<Option<Vec<Seen>>, Box<dyn Error>> {
    let Ok(mut source) = source::open(&[capture.to_owned()]) else { return Ok(None) };
    let options = RecorderOptions {
        is_android: !directory.is_empty(),
        ..RecorderOptions::new(recording.to_owned(), Timestamp(0))
    };
    let apps = directory.clone();
    let lookup = move |tuple: &FiveTuple, _: Timestamp| Some(made_up(tuple, &apps)).into();
    let recorder = RecorderHandle::start(options, lookup)?;
    let seen = drain(source.as_mut(), |batch| assert!(recorder.send(batch.clone())))?;
    let summary = recorder.finish();
    assert!(summary.error.is_none(), "{}: {:?}", capture.display(), summary.error);
    assert_eq!(summary.frames, seen.len() as u64, "{}", capture.display());
    Ok(Some(seen))
}

/// Keeps the owners of flows.
#[derive(Default)]
struct Owners(Vec<(FiveTuple, Option<Owner>, usize)>);

impl FlowSink for Owners {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        if flow.flow.is_carrier() {
            // The frames' owners are those of the packets within.
            assert_eq!((&flow.owner, flow.contradicting.len()), (&None, 0), "{:?}", flow.flow.info);
            return Ok(());
        }
        let owner = flow.owner.as_deref().cloned();
        self.0.push((flow.flow.info.five_tuple, owner, flow.contradicting.len()));
        Ok(())
    }
}

/// Frames that state an owner themselves go by that, not by what the file says of them.
fn states_owners_in_frames(capture: &Path) -> Result<bool, Box<dyn Error>> {
    let mut owners = Owners::default();
    let source = source::open(&[capture.to_owned()])?;
    pipeline::analyze(source, &Options::default(), &mut [&mut owners], &mut |_, _| {})?;
    Ok(owners.0.iter().any(|(_, owner, _)| owner.is_some()))
}

#[test]
fn every_capture_comes_back_with_its_frames_and_owners() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("a.pcapng");
    let (mut captures, mut flows) = (0, 0);
    for directory in [directory(), AppDirectory::default()] {
        for capture in observer_captures::all() {
            let Some(seen) = record(&capture.path(), &recording, &directory).unwrap() else { continue };
            captures += 1;
            let mut source = source::open(std::slice::from_ref(&recording)).unwrap();
            let read = drain(source.as_mut(), |_| {}).unwrap();
            assert!(read == seen, "{} has other frames", capture.name);
            let summary = source.inputs().remove(0);
            assert_eq!((summary.damages, summary.truncated), (0, false), "{}", capture.name);
            if states_owners_in_frames(&capture.path()).unwrap() {
                continue;
            }
            let mut owners = Owners::default();
            let source = source::open(std::slice::from_ref(&recording)).unwrap();
            let options = Options { threads: 2, ..Options::default() };
            pipeline::analyze(source, &options, &mut [&mut owners], &mut |_, _| {}).unwrap();
            for (tuple, owner, contradicting) in owners.0 {
                flows += 1;
                let expected = Owner { method: Method::Recorded, ..made_up(&tuple, &directory) };
                assert_eq!(owner, Some(expected), "{}: {tuple:?}", capture.name);
                assert_eq!(contradicting, 0, "{}: {tuple:?}", capture.name);
            }
        }
    }
    assert!(captures > 300 && flows > 500, "{captures} captures, {flows} flows");
}

#[test]
fn wireshark_reads_recordings_of_every_link_type_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let recording: PathBuf = folder.path().join("a.pcapng");
    let directory = directory();
    for capture in observer_captures::all() {
        let wanted = capture.name.starts_with("link_types/") || capture.name == "demo.pcapng";
        if !wanted || record(&capture.path(), &recording, &directory).unwrap().is_none() {
            continue;
        }
        for program in ["capinfos", "tshark"] {
            let arguments: &[&str] =
                if program == "tshark" { &["-T", "fields", "-e", "frame.comment", "-r"] } else { &["-M"] };
            let Ok(output) = Command::new(program).args(arguments).arg(&recording).output() else {
                eprintln!("SKIPPED: {program} is not installed, so that Wireshark reads no recording");
                return;
            };
            let complaints = String::from_utf8_lossy(&output.stderr);
            let complaints: Vec<_> =
                complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
            assert!(output.status.success() && complaints.is_empty(), "{}: {complaints:?}", capture.name);
            let shown = String::from_utf8_lossy(&output.stdout);
            if program == "tshark" && !capture.name.contains("arp") {
                assert!(shown.contains("u-10"), "{}: {shown}", capture.name);
            }
        }
    }
}
