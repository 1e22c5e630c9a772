//! Every capture of the project, through the whole pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use observer::source;
use observer_tests::{analyze, digest, options};

/// What each capture shows, is written down folder by folder; a change of any stage shows as a difference.
#[test]
fn every_capture_says_what_it_said() {
    let options = options(2).unwrap();
    let mut folders: BTreeMap<&str, String> = BTreeMap::new();
    for capture in observer_captures::all() {
        let folder = capture.name.split_once('/').map_or("demo", |(folder, _)| folder);
        let said = match source::open(&[capture.path()]) {
            Ok(source) => digest(&analyze(source, &options).unwrap().1).unwrap(),
            Err(error) => {
                let root = observer_captures::root().display().to_string();
                format!("{error}\n").replace(&root, "captures")
            }
        };
        let text = folders.entry(folder).or_default();
        writeln!(text, "== {}\n{said}", capture.name).unwrap();
    }
    for (folder, text) in folders {
        insta::assert_snapshot!(folder, text);
    }
}

/// Two runs on one input are byte-identical, with one thread and with eight.
#[test]
fn threads_do_not_show() {
    let (one, eight) = (options(1).unwrap(), options(8).unwrap());
    for capture in observer_captures::all() {
        let Ok(first) = source::open(&[capture.path()]) else { continue };
        let second = source::open(&[capture.path()]).unwrap();
        let (_, first) = analyze(first, &one).unwrap();
        let (_, second) = analyze(second, &eight).unwrap();
        assert!(first == second, "{} differs with the number of threads", capture.name);
    }
}

/// Hands out a few bytes at once.
struct Trickle<R>(R);

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(13);
        self.0.read(buffer.get_mut(..len).unwrap_or_default())
    }
}

/// A pipe that delivers in small pieces gives what a file gives.
#[test]
fn reads_in_pieces_do_not_show() {
    let options = options(2).unwrap();
    for capture in observer_captures::all() {
        let name = capture.path().display().to_string();
        let Ok(whole) = source::open(&[capture.path()]) else { continue };
        let pieces = Trickle(std::fs::File::open(capture.path()).unwrap());
        let pieces = source::read(&name, Box::new(pieces)).unwrap();
        let (_, whole) = analyze(whole, &options).unwrap();
        let (_, pieces) = analyze(pieces, &options).unwrap();
        assert!(whole == pieces, "{} differs when it comes in pieces", capture.name);
    }
}
