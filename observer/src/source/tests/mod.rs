//! Formats by hand-made bytes, recorded captures, and properties that hold for any bytes.

mod blocks;
mod classic;
mod properties;

use std::io::{self, Read};
use std::path::PathBuf;

use self::classic::{pcap, pcap_header, pcap_record};
use super::file::FileSource;
use super::input::Input;
use super::*;

/// A frame with everything that is said of it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    number: u64,
    timestamp: Timestamp,
    link_type: u16,
    interface: u32,
    data: Vec<u8>,
    original_len: u32,
    annotations: Option<Annotations>,
}

/// All that a source says.
#[derive(Clone, Debug, PartialEq)]
struct All {
    frames: Vec<Seen>,
    metadata: Vec<(usize, Metadata)>,
    summary: InputSummary,
}

impl All {
    fn data(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|frame| frame.data.as_slice()).collect()
    }

    fn damage(&self) -> Vec<(u64, Option<u64>)> {
        self.summary.damage.iter().map(|damage| (damage.offset, damage.skipped)).collect()
    }

    fn owners(&self) -> Vec<Option<RecordedOwner>> {
        self.frames.iter().map(|frame| frame.annotations.as_ref()?.owner.as_deref().cloned()).collect()
    }
}

fn drain(source: &mut dyn Source) -> All {
    let (mut frames, mut metadata) = (Vec::new(), Vec::new());
    while let Some(batch) = source.next_batch().unwrap() {
        let before = frames.len();
        metadata.extend(batch.metadata.iter().map(|(at, known)| (at + before, known.clone())));
        frames.extend(batch.iter().map(|frame| Seen {
            number: frame.number,
            timestamp: frame.timestamp,
            link_type: frame.link_type.0,
            interface: frame.interface,
            data: frame.data.to_vec(),
            original_len: frame.original_len,
            annotations: frame.annotations.cloned(),
        }));
    }
    All { frames, metadata, summary: source.inputs().remove(0) }
}

fn source(bytes: &[u8], block: usize) -> Result<FileSource, SourceError> {
    let input = Input::new("a.pcap".into(), Box::new(io::Cursor::new(bytes.to_vec())), None, false)?;
    FileSource::with_blocks(input, block, block)
}

fn whole(bytes: &[u8]) -> All {
    drain(&mut source(bytes, 1 << 16).unwrap())
}

fn error(bytes: &[u8]) -> String {
    source(bytes, 1 << 16).err().map(|error| error.to_string()).unwrap_or_default()
}

/// A `u16` in the file's byte order.
fn u16(big: bool, value: u16) -> [u8; 2] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

/// A `u32` in the file's byte order.
fn u32(big: bool, value: u32) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn words(big: bool, values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| u32(big, *value)).collect()
}

#[test]
fn compressions_are_told_by_magic() {
    let plain = pcap(9);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
        let mut compressed = Vec::new();
        encoder.read_to_end(&mut compressed).unwrap();
        compressed
    };
    let lz4 = |bytes: &[u8]| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let (one, two) = plain.split_at(300);
    for (name, compressed) in [
        ("pcap+gzip", [gzip(one), gzip(two)].concat()),
        ("pcap+lz4", [lz4(one), lz4(two)].concat()),
        ("pcap+zstd", [zstd(one), zstd(two)].concat()),
    ] {
        let all = whole(&compressed);
        assert_eq!((all.data(), all.summary.format.as_str()), (whole(&plain).data(), name));
        let cut = whole(&compressed[..compressed.len() * 3 / 4]);
        assert!(cut.frames.len() < 9, "{name}");
        assert!(cut.summary.truncated, "{name}");
        assert!(cut.summary.damage[0].reason.starts_with(&name[5..]), "{name}");
    }
    assert!(error(&gzip(b"some text")).contains("is not a capture file: it begins with 736f6d65"));
}

#[test]
fn what_cannot_be_read_is_named() {
    assert_eq!(error(b""), "a.pcap is empty");
    assert!(
        error(b"hello world, this is text")
            .contains("begins with 68656c6c, which is neither pcap nor pcapng")
    );
    assert!(error(b"\xa1").contains("begins with a1"));
    let open = |path: &str| open(&[PathBuf::from(path)]).err().map(|error| error.to_string()).unwrap();
    assert_eq!(open("/"), "/ is a directory, not a capture file");
    assert_eq!(open("/nowhere/a.pcap"), "cannot read /nowhere/a.pcap");
}

#[test]
fn several_files_are_one_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, seconds: &[u32]| {
        let mut bytes = pcap_header(false, 0xa1b2_c3d4, 1);
        for second in seconds {
            bytes.extend(pcap_record(*second, format!("{name}{second}").as_bytes()));
        }
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    // The second is later as a whole; the third lies between; the fourth's clock was set back; the fifth is empty.
    let paths = [
        write("a", &[10, 20, 30]),
        write("b", &[90, 91]),
        write("c", &[10, 25, 95]),
        write("d", &[50, 5, 60]),
        write("e", &[]),
    ];
    let mut timeline = open(&paths).unwrap();
    let all = drain(timeline.as_mut());
    let order: Vec<_> = all.data().iter().map(|data| String::from_utf8_lossy(data).into_owned()).collect();
    assert_eq!(order, ["a10", "c10", "a20", "c25", "a30", "d50", "d5", "d60", "b90", "b91", "c95"]);
    let numbers: Vec<_> = all.frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
    let interfaces: Vec<_> = all.frames.iter().map(|frame| frame.interface).collect();
    assert_eq!(interfaces, [0, 1, 0, 1, 0, 2, 2, 2, 3, 3, 1]);
    let frames: Vec<_> = timeline.inputs().iter().map(|input| input.frames).collect();
    assert_eq!(frames, [3, 2, 3, 3, 0]);
    let (read, total) = timeline.progress();
    assert_eq!(Some(read), total);
}

#[test]
fn recorded_captures_have_the_frames_that_their_manifest_says() {
    for capture in observer_captures::all() {
        match open(&[capture.path()]) {
            Ok(mut source) => {
                let all = drain(source.as_mut());
                let (frames, listed) = (all.frames.len() as u64, u64::from(capture.frames));
                // The manifest counts up to the first damage; reading goes on behind it.
                let fits = if all.summary.damages == 0 { frames == listed } else { frames >= listed };
                assert!(fits, "{}: {frames} frames, not {listed}", capture.name);
            }
            Err(error) => assert_eq!(capture.frames, 0, "{}: {error}", capture.name),
        }
    }
}

/// Uid, process id and process.
type Named = (Option<u32>, Option<u32>, Option<String>);

/// The owners that a recorded capture names, each once.
fn recorded_owners(name: &str) -> Vec<(Dialect, Named)> {
    let all = drain(open(&[observer_captures::path(name)]).unwrap().as_mut());
    let mut owners: Vec<_> = all
        .owners()
        .into_iter()
        .flatten()
        .map(|owner| (owner.dialect, (owner.uid, owner.pid, owner.process)))
        .collect();
    owners.sort();
    owners.dedup();
    owners
}

#[test]
fn recorded_captures_name_their_owners() {
    type Expected = (Option<u32>, Option<u32>, Option<&'static str>);
    let uids: [Expected; 4] = [
        (Some(0), None, None),
        (Some(1073), None, None),
        (Some(10_123), None, None),
        (Some(10_145), None, None),
    ];
    let pids: [Expected; 3] = [(None, Some(815), None), (None, Some(4321), None), (None, Some(5678), None)];
    for (name, dialect, expected) in [
        ("pcapdroid.pcapng", Dialect::Pcapdroid, uids.as_slice()),
        ("pcapdroid-root.pcapng", Dialect::Pcapdroid, uids.as_slice()),
        ("pcapdroid-unknown.pcapng", Dialect::Pcapdroid, &[]),
        ("process-ids.pcapng", Dialect::ProcessIdOption, pids.as_slice()),
        // Whom a process works for goes before the process that has the socket.
        (
            "darwin.pcapng",
            Dialect::Darwin,
            &[(None, Some(815), Some("/usr/sbin/netmgr")), (None, Some(4321), Some("/opt/shop/bin/shop"))],
        ),
        (
            "ptcpdump.pcapng",
            Dialect::Ptcpdump,
            &[
                (Some(1073), Some(815), Some("/usr/sbin/netmgr")),
                (Some(10_123), Some(4321), Some("/opt/shop/bin/shop")),
                (Some(10_145), Some(5678), Some("/opt/chat/chat")),
            ],
        ),
        (
            "rustnet.pcapng",
            Dialect::Rustnet,
            &[
                (Some(1073), Some(815), Some("netmgr")),
                (Some(10_123), Some(4321), Some("shop")),
                (Some(10_145), Some(5678), Some("chat")),
            ],
        ),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|(uid, pid, process)| (dialect, (*uid, *pid, process.map(str::to_owned))))
            .collect();
        assert_eq!(recorded_owners(&format!("owners/{name}")), expected, "{name}");
    }
}

#[cfg(feature = "live")]
#[test]
fn a_filter_keeps_the_numbers_that_frames_have_in_the_file() {
    let path = observer_captures::path("http/basic-auth.pcap");
    let paths = [path];
    let everything = drain(open(&paths).unwrap().as_mut());
    let mut source = open_filtered(&paths, Some(" tcp[tcpflags] & tcp-syn != 0 ")).unwrap();
    let some = drain(source.as_mut());
    assert!(!some.frames.is_empty() && some.frames.len() < everything.frames.len());
    for frame in &some.frames {
        assert_eq!(Some(frame), everything.frames.iter().find(|known| known.number == frame.number));
    }
    assert_eq!(source.filtered(), (everything.frames.len() - some.frames.len()) as u64);
    assert_eq!(some.summary.frames, everything.frames.len() as u64);
    let error = open_filtered(&paths, Some("tcp and and")).err().unwrap().to_string();
    assert!(error.starts_with("bad filter expression \"tcp and and\": "), "{error}");
    assert_eq!(drain(open_filtered(&paths, Some(" ")).unwrap().as_mut()), everything);
}
