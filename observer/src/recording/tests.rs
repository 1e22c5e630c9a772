//! What is recorded is read back by [`crate::source`].

use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;

use proptest::prelude::*;

use super::*;
use crate::attribution::{Confidence, Method, Owner};
use crate::decode::FiveTuple;
use crate::source::{
    self, Annotations, Dialect, Frame, FrameBatch, FrameRecord, LinkDirection, LinkType, Marker, Metadata,
    RecordedOwner,
};

/// 2026-11-22 10:00 UTC.
const START: i64 = 1_795_341_600_000_000_000;

const RAW: LinkType = LinkType(101);

/// What is recorded of a frame.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    timestamp: Timestamp,
    link_type: LinkType,
    interface: InterfaceIndex,
    data: Vec<u8>,
    original_len: u32,
    direction: Option<LinkDirection>,
}

impl Seen {
    fn of(frame: &Frame<'_>) -> Self {
        Self {
            timestamp: frame.timestamp,
            link_type: frame.link_type,
            interface: frame.interface,
            data: frame.data.to_vec(),
            original_len: frame.original_len,
            direction: frame.annotations.and_then(|annotations| annotations.direction),
        }
    }

    fn new(milliseconds: i64, data: Vec<u8>) -> Self {
        let timestamp = Timestamp(START + milliseconds * 1_000_000);
        let original_len = u32::try_from(data.len()).unwrap();
        Self { timestamp, link_type: RAW, interface: 0, data, original_len, direction: None }
    }
}

/// A batch of one buffer.
fn batch(frames: &[Seen]) -> FrameBatch {
    let mut buffer = Vec::new();
    let mut records = Vec::new();
    for (number, frame) in (1..).zip(frames) {
        let start = u32::try_from(buffer.len()).unwrap();
        buffer.extend(&frame.data);
        let annotations = Annotations { direction: frame.direction, owner: None };
        records.push(FrameRecord {
            number,
            timestamp: frame.timestamp,
            link_type: frame.link_type,
            interface: frame.interface,
            original_len: frame.original_len,
            buffer: 0,
            range: start..u32::try_from(buffer.len()).unwrap(),
            annotations: Some(Arc::new(annotations)),
        });
    }
    FrameBatch { buffers: vec![Arc::new(buffer)], frames: records, ..FrameBatch::default() }
}

/// An IPv4 packet of UDP or TCP from port `from` to port `to`; `flags` make it TCP.
fn packet(from: u16, to: u16, flags: Option<u8>) -> Vec<u8> {
    let ends = [10, 0, 0, 1, 10, 0, 0, 2];
    let ends = if from < to { [&ends[4..], &ends[..4]].concat() } else { ends.to_vec() };
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    let (protocol, rest) = match flags {
        None => (17, vec![0, 12, 0, 0, 1, 2, 3, 4]),
        Some(flags) => (6, vec![0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]),
    };
    let len = u8::try_from(24 + rest.len()).unwrap();
    let head = [0x45, 0, 0, len, 0, 1, 0, 0, 64, protocol, 0, 0];
    [head.as_slice(), &ends, &ports, &rest].concat()
}

fn owner(uid: u32) -> Owner {
    Owner {
        uid: Some(uid),
        user: None,
        package: None,
        packages: Vec::new(),
        label: None,
        pid: None,
        process: None,
        method: Method::Ebpf,
        confidence: Confidence::Exact,
        platform: false,
    }
}

fn options(path: &Path) -> RecorderOptions {
    RecorderOptions::new(path.to_owned(), Timestamp(START))
}

/// Records frames that nobody owns.
fn record(options: RecorderOptions, frames: &[Seen]) -> RecorderSummary {
    let recorder = RecorderHandle::start(options, |_, _| None.into()).unwrap();
    recorder.send(batch(frames));
    recorder.finish()
}

/// All that a file says.
fn drain(path: &Path) -> (Vec<Seen>, Vec<Option<RecordedOwner>>, Vec<Metadata>, Option<u64>) {
    let mut source = source::open(&[path.to_owned()]).unwrap();
    let (mut frames, mut owners, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(batch) = source.next_batch().unwrap() {
        for frame in batch.iter() {
            frames.push(Seen::of(&frame));
            let owner = frame.annotations.and_then(|annotations| annotations.owner.as_deref());
            owners.push(owner.cloned());
        }
        metadata.extend(batch.metadata.into_iter().map(|(_, metadata)| metadata));
    }
    let summary = source.inputs().remove(0);
    assert_eq!((summary.damages, summary.truncated), (0, false), "{}", path.display());
    (frames, owners, metadata, summary.dropped)
}

/// What a program of Wireshark prints of a file, if there is one. It must not complain.
fn wireshark(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let Ok(output) = Command::new(program).args(arguments).arg(path).output() else {
        eprintln!(
            "SKIPPED: {program} is not installed, so that nothing but the observer reads {}",
            path.display()
        );
        return None;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> = complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn owners_are_restored_where_uids_are_android_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let lookup = |tuple: &FiveTuple, _: Timestamp| {
        Answer::from(match tuple.source.port {
            50_001 => Some(Owner {
                package: Some("com.shop".into()),
                label: Some("Shöp".into()),
                pid: Some(7),
                process: Some("com.shop:remote".into()),
                confidence: Confidence::Polled,
                ..owner(10_123)
            }),
            50_002 => Some(Owner { packages: vec!["com.a".into(), "com.b".into()], ..owner(10_124) }),
            50_003 => Some(owner(1051)),
            _ => None,
        })
    };
    let ports = [50_001, 50_002, 50_003, 50_004, 50_001];
    let frames: Vec<_> = (0..).zip(ports).map(|(at, port)| Seen::new(at, packet(port, 443, None))).collect();
    let options = RecorderOptions { is_android: true, ..options(&path) };
    let recorder = RecorderHandle::start(options, lookup).unwrap();
    assert!(recorder.send(batch(&frames)));
    let summary = recorder.finish();
    assert!(summary.error.is_none());
    assert_eq!((summary.frames, summary.unowned, summary.files), (5, 1, 1));
    assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
    let (read, owners, metadata, _) = drain(&path);
    assert_eq!(read, frames);
    let shop = RecordedOwner {
        uid: Some(10_123),
        pid: Some(7),
        process: Some("com.shop:remote".into()),
        confidence: Some(Confidence::Polled),
        ..RecordedOwner::new(Dialect::Pcapdroid)
    };
    let of = |uid| Some(RecordedOwner { uid: Some(uid), ..RecordedOwner::new(Dialect::Pcapdroid) });
    assert_eq!(owners, [Some(shop.clone()), of(10_124), of(1051), None, Some(shop)]);
    let app = |uid, package: &str, label: &str| Metadata::App {
        uid,
        package: package.to_owned(),
        label: label.to_owned(),
    };
    let apps = [
        app(10_123, "com.shop", "Shöp"),
        app(10_124, "com.a", ""),
        app(10_124, "com.b", ""),
        app(1051, "", ""),
    ];
    assert_eq!(metadata, apps);
    let fields = ["-T", "fields", "-e", "frame.packet_id", "-e", "frame.comment", "-r"];
    if let Some(shown) = wireshark("tshark", &fields, &path) {
        let shown: Vec<_> = shown.lines().filter(|line| !line.trim().is_empty()).collect();
        let observer = "observer uid=10123 pid=7 confidence=polled app=com.shop process=com.shop:remote";
        assert_eq!(shown[0], format!("1\tu-10123,{observer}"));
        assert_eq!(shown[1], "2\tu-10124,observer uid=10124 app=com.a+com.b");
        assert_eq!(shown[3], "4\t");
    }
}

#[test]
fn owners_are_restored_where_uids_are_people() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let ada = Owner {
        user: Some("ada".into()),
        label: Some("web.service".into()),
        pid: Some(7),
        process: Some("/opt/My App/run\n".into()),
        ..owner(1000)
    };
    let recorder = RecorderHandle::start(options(&path), move |_, _| Some(ada.clone()).into()).unwrap();
    recorder.send(batch(&[Seen::new(0, packet(50_001, 443, None))]));
    assert!(recorder.finish().error.is_none());
    let (_, owners, metadata, _) = drain(&path);
    let expected = RecordedOwner {
        uid: Some(1000),
        pid: Some(7),
        process: Some("/opt/My App/run_".into()),
        user: Some("ada".into()),
        label: Some("web.service".into()),
        ..RecordedOwner::new(Dialect::Observer)
    };
    assert_eq!((owners, metadata), (vec![Some(expected)], vec![]));
}

#[test]
fn microseconds_are_what_pcapdroid_takes_times_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let mut frame = Seen::new(1, vec![1; 5]);
    frame.timestamp.0 += 1_999;
    record(RecorderOptions { precision: Precision::Micro, ..options(&path) }, &[frame.clone()]);
    frame.timestamp.0 -= 999;
    assert_eq!(drain(&path).0, [frame]);
}

#[test]
fn interfaces_losses_and_marks_are_in_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let info = |name: &str, link_type| InterfaceInfo {
        name: name.to_owned(),
        link_type: LinkType(link_type),
        snaplen: 262_144,
        filter: Some("tcp or udp".to_owned()),
    };
    let header = SectionHeader {
        hardware: Some("x86_64".into()),
        system: Some("Linux".into()),
        application: Some("observer".into()),
        comment: Some("a test".into()),
    };
    let options = RecorderOptions {
        header,
        interfaces: vec![(0, info("wlan0", 1)), (1, info("lo", 101))],
        ..options(&path)
    };
    let recorder = RecorderHandle::start(options, |_, _| None.into()).unwrap();
    let frame = |at, interface, link_type| Seen {
        interface,
        link_type: LinkType(link_type),
        direction: Some(LinkDirection::Inbound),
        ..Seen::new(at, vec![0; 60])
    };
    let frames = [frame(0, 1, 101), frame(10, 0, 1), frame(20, 1, 101), frame(30, 2, 113), frame(40, 1, 101)];
    let marker =
        |label: &str, at: i64| Metadata::Marker(Marker::point(Timestamp(START + at * 1_000_000), label));
    let metadata = vec![(0, marker("log out", 3_000)), (2, marker("log in", 15))];
    recorder.send(FrameBatch { metadata, ..batch(&frames[..2]) });
    recorder.drops(1, 10, 3);
    recorder.interface(2, info("tun0", 113));
    recorder.send(batch(&frames[2..]));
    recorder.drops(1, 12, 5);
    recorder.drops(0, 1, 0);
    let summary = recorder.finish();
    assert!(summary.error.is_none());
    let (read, _, metadata, dropped) = drain(&path);
    assert_eq!((read.as_slice(), dropped), (frames.as_slice(), Some(5)));
    // Markers come back with the time of the packet that tells of them.
    assert_eq!(metadata, [marker("log in", 20), marker("log out", 40)]);
    let fields =
        ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment", "-e", "frame.drop_count", "-r"];
    if let Some(shown) = wireshark("tshark", &fields, &path) {
        let shown: Vec<_> = shown.lines().collect();
        assert_eq!(shown, ["lo\t\t", "wlan0\t\t", "lo\tstep=log in\t3", "tun0\t\t", "lo\t\t"]);
    }
    if let Some(shown) = wireshark("capinfos", &[], &path) {
        for line in
            ["Capture hardware:    x86_64", "Name = wlan0", "Filter string = tcp or udp", "nanoseconds (9)"]
        {
            assert!(shown.contains(line), "{line}: {shown}");
        }
    }
}

#[test]
fn frames_wait_until_their_owner_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let (to_test, asked) = channel();
    let lookup = move |tuple: &FiveTuple, at: Timestamp| {
        to_test.send((tuple.source.port, at.0 - START)).unwrap();
        None.into()
    };
    let mut recorder = recorder::Recorder::new(options(&path), Box::new(lookup)).unwrap();
    let frame = |at, port| batch(&[Seen::new(at, packet(port, 443, None))]);
    recorder.frames(frame(0, 50_001)).unwrap();
    recorder.frames(frame(999, 50_002)).unwrap();
    assert_eq!(asked.try_iter().count(), 0);
    recorder.frames(frame(1_000, 50_003)).unwrap();
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [(50_001, 0)]);
    // The clock is set back by an hour: nothing waits for it to come round again.
    recorder.frames(frame(-3_600_000, 50_004)).unwrap();
    assert_eq!(asked.try_iter().map(|(port, _)| port).collect::<Vec<_>>(), [50_002, 50_003]);
    recorder.idle().unwrap();
    assert_eq!(asked.try_iter().map(|(port, _)| port).collect::<Vec<_>>(), [50_004]);
    let summary = recorder.finish(Ok(recorder::Recording::GoesOn));
    assert_eq!((summary.frames, summary.early), (4, 0));
}

#[test]
fn too_many_bytes_do_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions { max_held: 250_000, ..options(&folder.path().join("a.pcapng")) };
    let mut recorder = recorder::Recorder::new(options, Box::new(|_, _| None.into())).unwrap();
    for at in 0..10 {
        recorder.frames(batch(&[Seen::new(at, vec![0; 100_000])])).unwrap();
    }
    let summary = recorder.finish(Ok(recorder::Recording::GoesOn));
    assert_eq!((summary.frames, summary.early), (10, 8));
}

#[test]
fn an_owner_is_asked_for_once_and_again_when_a_port_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let (to_test, asked) = channel();
    let mut uid = 10_000;
    let lookup = move |tuple: &FiveTuple, _: Timestamp| {
        to_test.send(tuple.source.port).unwrap();
        uid += 1;
        Some(owner(uid)).into()
    };
    let (syn, syn_ack, ack) = (Some(2), Some(0x12), Some(0x10));
    let frames = [
        Seen::new(0, packet(50_001, 443, syn)),
        Seen::new(1, packet(443, 50_001, syn_ack)),
        Seen::new(2, packet(50_001, 443, ack)),
        Seen::new(900, packet(443, 50_001, ack)),
        Seen::new(901, packet(50_001, 443, syn)),
        Seen::new(902, packet(443, 50_001, ack)),
        // Of a flow that began with the other end.
        Seen::new(903, packet(443, 50_002, syn_ack)),
        Seen::new(904, packet(50_003, 53, None)),
        Seen::new(905, packet(53, 50_003, None)),
        Seen::new(920, packet(53, 50_003, None)),
    ];
    let recorder = RecorderHandle::start(options(&path), lookup).unwrap();
    recorder.send(batch(&frames));
    assert!(recorder.finish().error.is_none());
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [50_001, 50_001, 50_002, 50_003, 50_003]);
    let uids: Vec<_> = drain(&path).1.into_iter().map(|owner| owner.unwrap().uid.unwrap() - 10_000).collect();
    assert_eq!(uids, [1, 1, 1, 1, 2, 2, 3, 4, 4, 5]);
}

#[test]
fn what_is_not_to_be_kept_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let lookup = |tuple: &FiveTuple, _: Timestamp| match tuple.source.port {
        50_001 => Some(owner(10_001)).into(),
        _ => Answer { owner: None, wanted: false },
    };
    let options = RecorderOptions { others: false, ..options(&path) };
    let recorder = RecorderHandle::start(options, lookup).unwrap();
    let ports = [50_001, 50_002, 50_003, 50_001];
    let mut frames: Vec<_> =
        (0..).zip(ports).map(|(at, port)| Seen::new(at, packet(port, 443, None))).collect();
    frames.push(Seen::new(5, vec![0; 20]));
    recorder.send(batch(&frames));
    let summary = recorder.finish();
    assert_eq!((summary.frames, summary.left_out), (2, 3));
    assert_eq!(drain(&path).0, [frames[0].clone(), frames[3].clone()]);
}

/// The files of a folder with the number of frames in each, by name; each is a whole capture.
fn files(folder: &Path) -> Vec<(String, usize)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            wireshark("capinfos", &["-c"], &path);
            (name, drain(&path).0.len())
        })
        .collect();
    files.sort();
    files
}

fn named(names: &[(&str, usize)]) -> Vec<(String, usize)> {
    names.iter().map(|(name, frames)| ((*name).to_owned(), *frames)).collect()
}

fn rotation(size: u64, seconds: u64, files: u32) -> Rotation {
    Rotation { size: NonZeroU64::new(size), seconds: NonZeroU64::new(seconds), files: NonZeroU32::new(files) }
}

#[test]
fn files_of_a_size() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions { rotation: rotation(1, 0, 0), ..options(&folder.path().join("a")) };
    let frames: Vec<_> = (0..25).map(|at| Seen::new(at, vec![0; 100_000])).collect();
    let summary = record(options, &frames);
    assert_eq!((summary.frames, summary.files), (25, 3));
    // The tenth frame makes it larger than a million bytes.
    assert_eq!(files(folder.path()), named(&[("a", 10), ("a1", 10), ("a2", 5)]));
    let bytes: u64 =
        ["a", "a1", "a2"].iter().map(|name| fs::metadata(folder.path().join(name)).unwrap().len()).sum();
    assert_eq!(summary.bytes, bytes);
}

#[test]
fn a_ring_of_files_keeps_the_newest_frames() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions { rotation: rotation(1, 0, 2), ..options(&folder.path().join("a")) };
    let frames: Vec<_> = (0..25).map(|at| Seen::new(at, vec![u8::try_from(at).unwrap(); 100_000])).collect();
    let summary = record(options, &frames);
    assert_eq!((summary.frames, summary.files), (25, 3));
    assert_eq!(files(folder.path()), named(&[("a0", 5), ("a1", 10)]));
    let read = [drain(&folder.path().join("a1")).0, drain(&folder.path().join("a0")).0].concat();
    assert_eq!(read, frames[10..]);
}

#[test]
fn files_of_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = folder.path().join("%s.pcapng");
    let frames: Vec<_> = [0, 59_999, 60_000, 119_999, 121_000].map(|at| Seen::new(at, vec![0; 50])).into();
    let first = START / 1_000_000_000;
    let names = [first, first + 60, first + 121].map(|seconds| format!("{seconds}.pcapng"));
    let options = |files| RecorderOptions { rotation: rotation(0, 60, files), ..options(&pattern) };
    let summary = record(options(0), &frames);
    assert_eq!((summary.frames, summary.files, summary.full), (5, 3, false));
    assert_eq!(files(folder.path()), named(&[(&names[0], 2), (&names[1], 2), (&names[2], 1)]));
    fs::remove_file(folder.path().join(&names[2])).unwrap();
    let summary = record(options(2), &frames);
    assert_eq!((summary.frames, summary.files, summary.full), (4, 2, true));
    assert!(summary.error.is_none());
    assert_eq!(files(folder.path()), named(&[(&names[0], 2), (&names[1], 2)]));
}

#[test]
fn size_and_time_with_a_bound_keep_the_newest_files() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = folder.path().join("%s-");
    let options = RecorderOptions { rotation: rotation(1, 60, 2), ..options(&pattern) };
    let frames: Vec<_> = (0..25).map(|at| Seen::new(at * 4_000, vec![0; 100_000])).collect();
    let summary = record(options, &frames);
    // Ten frames and five in the first minute; the second one begins with the sixteenth.
    assert_eq!((summary.frames, summary.files), (25, 3));
    let first = START / 1_000_000_000;
    assert_eq!(
        files(folder.path()),
        named(&[(&format!("{first}-1"), 5), (&format!("{}-0", first + 60), 10)])
    );
}

#[test]
fn each_file_counts_its_own_losses() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions { rotation: rotation(1, 0, 0), ..options(&folder.path().join("a")) };
    let recorder = RecorderHandle::start(options, |_, _| None.into()).unwrap();
    let send = |from: i64, to: i64| {
        let frames: Vec<_> = (from..to).map(|at| Seen::new(at, vec![0; 100_000])).collect();
        recorder.send(batch(&frames))
    };
    assert!(recorder.drops(0, 5, 2) && send(0, 10) && recorder.drops(0, 20, 9) && send(10, 15));
    assert!(recorder.drops(0, 30, 10));
    assert!(recorder.finish().error.is_none());
    assert_eq!(drain(&folder.path().join("a")).3, Some(2));
    // Lost between the files, and at the end.
    assert_eq!(drain(&folder.path().join("a1")).3, Some(8));
}

#[test]
fn a_capture_of_nothing_is_a_capture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let summary = record(options(&path), &[]);
    assert!(summary.error.is_none());
    assert_eq!((summary.frames, drain(&path).0.len()), (0, 0));
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |options: RecorderOptions| {
        let error = RecorderHandle::start(options, |_, _| None.into()).unwrap_err();
        let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {reason}")
    };
    let nowhere = folder.path().join("nowhere").join("a");
    let expected = format!("cannot write {}: No such file or directory", nowhere.display());
    assert!(error(options(&nowhere)).starts_with(&expected));
    let rotating = RecorderOptions { rotation: rotation(1, 0, 0), ..options(Path::new("-")) };
    assert!(error(rotating).starts_with("standard output cannot rotate"));
    let full = error(options(Path::new("/dev/full")));
    assert!(full.starts_with("cannot go on writing /dev/full: recording has ended"), "{full}");
    assert!(full.contains("No space left on device"), "{full}");
}

#[cfg(unix)]
#[test]
fn files_are_private_and_links_are_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a"), folder.path().join("link"));
    fs::write(&path, vec![0; 10_000]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    symlink(&path, &link).unwrap();
    let error = RecorderHandle::start(options(&link), |_, _| None.into()).unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(reason, "it is a symbolic link, which is not followed");
    assert_eq!(fs::read(&path).unwrap().len(), 10_000);
    record(options(&path), &[Seen::new(0, vec![0; 50])]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(drain(&path).0.len(), 1);
}

/// A small disk of memory; none where it cannot be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                eprintln!("SKIPPED: no small disk can be mounted without root, so that no disk runs full");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_keeps_whole_frames() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("a.pcapng");
    let frames: Vec<_> = (0..4_000).map(|at| Seen::new(at, vec![7; 1_000])).collect();
    let summary = record(options(&path), &frames);
    let error = summary.error.unwrap();
    assert!(error.to_string().starts_with("cannot go on writing "), "{error}");
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "No space left on device (os error 28)"
    );
    let read = drain(&path).0;
    assert!(read.len() > 900, "{}", read.len());
    assert_eq!(read, frames[..read.len()]);
    assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
}

fn direction() -> impl Strategy<Value = Option<LinkDirection>> {
    prop_oneof![Just(None), Just(Some(LinkDirection::Inbound)), Just(Some(LinkDirection::Outbound))]
}

/// Any frame of one of three interfaces, each with a link type of its own.
fn frame() -> impl Strategy<Value = Seen> {
    let data = proptest::collection::vec(any::<u8>(), 0..80);
    (0..i64::MAX / 2, 0..3_u32, data, 0..100_u32, direction()).prop_map(
        |(at, interface, data, cut, direction)| {
            let original_len = u32::try_from(data.len()).unwrap() + cut;
            let link_type = [LinkType(1), RAW, LinkType(113)][interface as usize];
            Seen { timestamp: Timestamp(at), link_type, interface, data, original_len, direction }
        },
    )
}

/// Any owner; names in any characters.
fn any_owner() -> impl Strategy<Value = Owner> {
    let name = || proptest::option::of("\\PC{1,30}");
    let uid = proptest::option::of(0..65_534_u32);
    (uid, proptest::option::of(1..u32::MAX), name(), "[a-z.]{0,80}").prop_map(
        |(uid, pid, process, package)| {
            let process =
                process.map(|process| process.trim().to_owned()).filter(|process| !process.is_empty());
            let package = (!package.is_empty()).then_some(package);
            Owner { uid, pid, process, package, ..owner(0) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_frames_are_read_back(frames in proptest::collection::vec(frame(), 0..40), split in 0..40_usize) {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("a.pcapng");
        let info = |link_type| {
            InterfaceInfo { name: "any".into(), link_type, snaplen: 0, filter: None }
        };
        let interfaces = vec![(0, info(LinkType(1))), (1, info(RAW)), (2, info(LinkType(113)))];
        let options = RecorderOptions { interfaces, ..options(&path) };
        let recorder = RecorderHandle::start(options, |_, _| None.into()).unwrap();
        let (one, two) = frames.split_at(split.min(frames.len()));
        recorder.send(batch(one));
        recorder.send(batch(two));
        let summary = recorder.finish();
        prop_assert!(summary.error.is_none());
        prop_assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
        prop_assert_eq!(drain(&path).0, frames);
    }

    #[test]
    fn any_owner_is_read_back(owner in any_owner(), is_android in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("a.pcapng");
        let known = owner.clone();
        let options = RecorderOptions { is_android, ..options(&path) };
        let recorder = RecorderHandle::start(options, move |_, _| Some(known.clone()).into()).unwrap();
        recorder.send(batch(&[Seen::new(0, packet(50_001, 443, None))]));
        prop_assert!(recorder.finish().error.is_none());
        let (_, owners, metadata, _) = drain(&path);
        let read = owners[0].clone().unwrap_or(RecordedOwner::new(Dialect::Observer));
        prop_assert_eq!((read.uid, read.pid), (owner.uid, owner.pid));
        prop_assert_eq!(read.process, owner.process);
        let package = owner.package.unwrap_or_default();
        let apps: Vec<_> = owner.uid.filter(|_| is_android).into_iter()
            .map(|uid| Metadata::App { uid, package: package.clone(), label: String::new() }).collect();
        prop_assert_eq!(metadata, apps);
    }
}
