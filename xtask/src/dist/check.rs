//! What proves a static file: its headers, as readelf shows them, and what it prints of every shipped capture.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};

use super::PAGE_BYTES;
use crate::command::{find_program, output, program, root, shown};
use crate::system;

/// A capture with findings of every kind, relative to the root.
const DEMO: &str = "captures/demo.pcapng";

/// Checks what a loader sees of `file`.
pub(super) fn headers(file: &Path, architecture: &str) -> anyhow::Result<()> {
    let mut readelf = program("readelf", &["--wide", "--file-header", "--program-headers", "--dynamic"]);
    let text = output(readelf.env("LC_ALL", "C").arg(file));
    let text = text.with_context(|| format!("readelf cannot read {}", file.display()))?;
    let faults = faults(&text, architecture);
    ensure!(faults.is_empty(), "{}: {}", file.display(), faults.join("; "));
    eprintln!(
        "# {architecture}: no interpreter, no needed library, nothing both writable and executable, \
         segments aligned to {PAGE_BYTES} bytes"
    );
    Ok(())
}

/// What keeps a file from running on a device, from readelf's words on its headers.
fn faults(text: &str, architecture: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let machine =
        text.lines().find_map(|line| line.trim().strip_prefix("Machine:")).unwrap_or_default().trim();
    let expected = if architecture == "x86_64" { "X86-64" } else { "AArch64" };
    if !machine.ends_with(expected) {
        faults.push(format!("it is for the machine `{machine}`, not {expected}"));
    }
    let mut segments = 0;
    for line in text.lines().map(str::trim) {
        let Some(kind) = line.split_whitespace().next() else { continue };
        match kind {
            "INTERP" => faults.push("it asks for a dynamic loader (PT_INTERP)".to_owned()),
            "LOAD" => {
                segments += 1;
                let alignment = line.rsplit_once("0x").and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok());
                if alignment.is_none_or(|bytes| bytes < PAGE_BYTES) {
                    faults.push(format!("a segment is aligned to less than {PAGE_BYTES} bytes: `{line}`"));
                }
                if line.contains(" RWE ") {
                    faults.push(format!("a segment is both writable and executable: `{line}`"));
                }
            }
            "GNU_STACK" if line.contains(" RWE ") => {
                faults.push("its stack is executable".to_owned());
            }
            _ if line.contains("(NEEDED)") => faults.push(format!("it needs a shared library: `{line}`")),
            _ => {}
        }
    }
    if segments == 0 {
        faults.push("it has no segment to load".to_owned());
    }
    faults
}

/// Runs `file` and `reference` on the shipped captures and says on how much they agree; fails where they do not.
pub(super) fn runs(reference: &Path, file: &Path, architecture: &str) -> anyhow::Result<String> {
    let emulator = emulator(architecture)?;
    let start = |program: &Path| match &emulator {
        Some(emulator) if program == file => {
            let mut command = Command::new(emulator);
            command.arg(file);
            command
        }
        _ => Command::new(program),
    };
    let mut bytes = 0;
    let mut compare = |words: &[&str]| -> anyhow::Result<()> {
        let expected = finished(start(reference).args(words))?;
        let found = finished(start(file).args(words))?;
        ensure!(expected.status.code() == found.status.code(), "{}", difference(words, &expected, &found));
        ensure!(expected.stdout == found.stdout, "{}", difference(words, &expected, &found));
        ensure!(expected.stderr == found.stderr, "{}", difference(words, &expected, &found));
        bytes += expected.stdout.len();
        Ok(())
    };

    let version = finished(start(file).arg("--version"))?;
    let named =
        String::from_utf8_lossy(&version.stdout).trim() == concat!("observer ", env!("CARGO_PKG_VERSION"));
    ensure!(named, "`observer --version` said {:?}", String::from_utf8_lossy(&version.stdout));
    let captures = captures(&root().join("captures"))?;
    ensure!(!captures.is_empty(), "no capture in this checkout");
    for capture in &captures {
        compare(&["analyze", "--format", "jsonl", capture])?;
    }
    // libpcap compiles and runs these.
    for expression in ["tcp port 443", "udp or icmp", "net 198.51.100.0/24 and greater 100"] {
        compare(&["analyze", "--format", "jsonl", DEMO, "--filter", expression])?;
    }
    for words in [&["analyze", DEMO][..], &["rules", "list"], &["requirements"], &["--help"]] {
        compare(words)?;
    }
    let how =
        emulator.map_or("on this processor".to_owned(), |emulator| format!("under {}", emulator.display()));
    Ok(format!(
        "{} captures and {bytes} bytes of results are those of the native build, {how}",
        captures.len()
    ))
}

/// The program that runs files for `architecture` here; none where the processor does.
fn emulator(architecture: &str) -> anyhow::Result<Option<PathBuf>> {
    if architecture == ARCH {
        return Ok(None);
    }
    let find = || ["-static", ""].iter().find_map(|end| find_program(&format!("qemu-{architecture}{end}")));
    if find().is_none() {
        system::install(&[&system::QEMU_USER]).context("`--no-run` leaves out the runs")?;
    }
    match find() {
        Some(emulator) => Ok(Some(emulator)),
        None => bail!("qemu-{architecture} is missing; `--no-run` leaves out the runs"),
    }
}

/// Runs a command to its end, from the repository's root, with the same settings each time.
fn finished(command: &mut Command) -> anyhow::Result<Output> {
    command.current_dir(root()).stdin(Stdio::null()).env("COLUMNS", "100").env_remove("RUST_LOG");
    let output = command.output().with_context(|| format!("starting `{}`", shown(command)))?;
    ensure!(output.status.code().is_some(), "`{}` was ended by a signal: {}", shown(command), output.status);
    Ok(output)
}

/// Where two runs with the same words part.
fn difference(words: &[&str], expected: &Output, found: &Output) -> String {
    let (native, other) =
        (first_difference(&expected.stdout, &found.stdout), expected.status == found.status);
    let mut text = format!("`observer {}` differs from the native build", words.join(" "));
    if !other {
        text.push_str(&format!(": {} instead of {}", found.status, expected.status));
    }
    if let Some((line, here, there)) = native {
        text.push_str(&format!("\nline {line}, native: {here}\nline {line}, static: {there}"));
    }
    if let Some((line, here, there)) = first_difference(&expected.stderr, &found.stderr) {
        text.push_str(&format!(
            "\nstandard error, line {line}, native: {here}\nline {line}, static: {there}"
        ));
    }
    text
}

/// The first line, from 1, in which two texts differ, and both texts' words there.
fn first_difference(left: &[u8], right: &[u8]) -> Option<(usize, String, String)> {
    let (left, right) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    let (mut ours, mut theirs) = (left.lines(), right.lines());
    for number in 1.. {
        match (ours.next(), theirs.next()) {
            (None, None) => return None,
            (a, b) if a != b => {
                let or_end = |line: Option<&str>| line.unwrap_or("(end)").to_owned();
                return Some((number, or_end(a), or_end(b)));
            }
            _ => {}
        }
    }
    None
}

/// Every capture file below `folder`, relative to the root, in alphabetical order.
fn captures(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let plain =
                [".gz", ".lz4", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            if plain.ends_with(".pcap") || plain.ends_with(".pcapng") {
                found.push(path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
  Machine:                           AArch64
  PHDR           0x000040 0x0000000000200040 0x0000000000200040 0x0001f8 0x0001f8 R   0x8
  LOAD           0x000000 0x0000000000200000 0x0000000000200000 0x17cc78 0x17cc78 R   0x4000
  LOAD           0x17cc80 0x0000000000380c80 0x0000000000380c80 0x473fa8 0x473fa8 R E 0x10000
  GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW  0

There is no dynamic section in this file.
";

    #[test]
    fn a_static_file_with_large_alignment_passes() {
        assert!(faults(GOOD, "aarch64").is_empty(), "{:?}", faults(GOOD, "aarch64"));
    }

    #[test]
    fn each_thing_that_a_device_refuses_is_a_fault() {
        let interpreter = "  INTERP 0x000318 0x0318 0x0318 0x00001c 0x00001c R   0x1\n";
        let needed = " 0x0000000000000001 (NEEDED)             Shared library: [libpcap.so.0.8]\n";
        let stack = GOOD.replace("RW  0\n", "RWE 0x10\n");
        let cases = [
            (GOOD.replace("AArch64", "Advanced Micro Devices X86-64"), "for the machine"),
            (GOOD.replace("0x4000", "0x1000"), "aligned to less"),
            (GOOD.replace("R E 0x10000", "RWE 0x10000"), "both writable and executable"),
            (format!("{GOOD}{interpreter}"), "dynamic loader"),
            (format!("{GOOD}{needed}"), "shared library"),
            (stack, "stack is executable"),
            (GOOD.replace("LOAD", "NOTE"), "no segment to load"),
        ];
        for (text, fault) in cases {
            let found = faults(&text, "aarch64");
            assert!(
                found.len() == 1 && found.iter().all(|found| found.contains(fault)),
                "{fault}: {found:?}"
            );
        }
    }

    #[test]
    fn this_programs_own_headers_have_faults() {
        // It is linked for a desktop: with a loader, or at least for pages of 4 KiB.
        let own = std::env::current_exe().unwrap();
        if find_program("readelf").is_some() && cfg!(target_os = "linux") {
            assert!(headers(&own, ARCH).is_err());
        }
    }

    #[test]
    fn the_first_line_that_differs_is_told_with_both_texts() {
        assert_eq!(first_difference(b"a\nb\n", b"a\nb\n"), None);
        assert_eq!(first_difference(b"a\nb\n", b"a\nc\n"), Some((2, "b".to_owned(), "c".to_owned())));
        assert_eq!(first_difference(b"a\n", b"a\nc\n"), Some((2, "(end)".to_owned(), "c".to_owned())));
    }

    #[test]
    fn compressed_captures_are_captures_and_their_companions_are_not() {
        let found = captures(&root().join("captures")).unwrap();
        assert!(found.iter().any(|name| name == DEMO));
        assert!(found.iter().any(|name| name.ends_with(".pcap.gz")));
        assert!(!found.iter().any(|name| name.ends_with(".toml") || name.ends_with(".pem")));
    }
}
