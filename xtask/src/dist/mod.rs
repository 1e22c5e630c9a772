//! `cargo xtask dist`: the observer as one static file, for devices.
//!
//! A phone has no glibc, no libpcap and no `/lib/ld-linux`, and its kernel may use pages of 16 KiB. What this task makes
//! needs nothing of the system but a Linux kernel, and the task proves that of the files themselves: their headers are
//! checked, and they run, in an emulator where the processor is another, on every shipped capture.

mod check;
mod libpcap;
mod toolchain;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::command::{cargo, output, program, root, run, target_dir};
use crate::{Task, print, system, unknown_word};
use toolchain::Toolchain;

/// The task.
pub(crate) const TASK: Task = Task {
    name: "dist",
    summary: "makes static binaries for devices (x86_64 and aarch64), and checks them",
    help: "\
Usage: cargo xtask dist [ARCHITECTURE]... [--no-run]

Makes dist/observer-VERSION-ARCHITECTURE-linux in Cargo's target directory for each ARCHITECTURE (x86_64,
aarch64; default: both): stripped, statically linked with libpcap, loadable with pages of up to 16 KiB.
Then checks each file: readelf finds the right machine, no interpreter, no needed library and that
alignment, and what it prints of each shipped capture is what this machine's own build prints. A file for
another processor runs under qemu-user.

Installs what it lacks: libpcap's source, pinned by its hash, with what builds it; readelf; the emulator;
a C compiler for the device (Zig's, through pip, unless `zig` is on the path) and, through rustup, Rust's
standard library for ARCHITECTURE-unknown-linux-musl. Without rustup it takes the toolchain's standard
library for ARCHITECTURE-unknown-linux-gnu with ARCHITECTURE-linux-gnu-gcc, if they are there.

Options:
  --no-run  leaves out the runs, where there is no emulator
",
    run: dist,
};

/// What is built for: the processor's name in Rust's targets, in file names, and in qemu's programs.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// The largest page that any supported device has, in bytes: what segments are aligned to.
///
/// [Android, Support 16 KB page sizes](https://developer.android.com/guide/practices/page-sizes)
const PAGE_BYTES: u64 = 16_384;

/// What the words after the task's name ask for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    architectures: Vec<&'static str>,
    runs: bool,
}

fn options(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options { architectures: Vec::new(), runs: true };
    for word in words {
        if word == "--no-run" {
            options.runs = false;
        } else if let Some(name) = ARCHITECTURES.iter().find(|name| *name == word) {
            if !options.architectures.contains(name) {
                options.architectures.push(name);
            }
        } else {
            return Err(unknown_word(&TASK, word));
        }
    }
    if options.architectures.is_empty() {
        options.architectures.extend(ARCHITECTURES);
    }
    Ok(options)
}

fn dist(words: &[String]) -> anyhow::Result<()> {
    let options = options(words)?;
    ensure!(cfg!(target_os = "linux"), "static binaries for devices are made on Linux");
    system::install(&[&system::C_COMPILER, &system::BINUTILS, &system::LIBPCAP_BUILD])?;
    let folder = target_dir().join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;

    let mut made = Vec::new();
    for architecture in &options.architectures {
        let toolchain = Toolchain::find(architecture, &folder)?;
        eprintln!("# {architecture}: {}", toolchain.description());
        let libpcap = libpcap::build(&toolchain, &folder)?;
        let file = build(&toolchain, &libpcap, &folder)?;
        check::headers(&file, architecture)?;
        made.push((*architecture, file));
    }
    if options.runs {
        let reference = reference()?;
        for (architecture, file) in &made {
            let agreed = check::runs(&reference, file, architecture)?;
            eprintln!("# {architecture}: {agreed}");
        }
    } else {
        eprintln!("# NOT RUN: that these files work at all is unchecked (--no-run)");
    }
    report(&folder, &made)
}

/// The observer for one architecture, built, stripped and laid into `folder`.
fn build(toolchain: &Toolchain, libpcap: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let target = toolchain.target();
    let mut build = cargo();
    toolchain.prepare(&mut build)?;
    // A panic names its source line all the same; names and line tables are six times what runs.
    build.args(["build", "--locked", "--release", "--package", "observer", "--bin", "observer"]);
    build.args(["--config", "profile.release.debug=false", "--config", "profile.release.strip=\"symbols\""]);
    build.args(["--target", &target]);
    build.env("LIBPCAP_LIBDIR", libpcap).env("LIBPCAP_VER", libpcap::VERSION);
    run(&mut build)?;

    let built = target_dir().join(&target).join("release").join("observer");
    let name = format!("observer-{}-{}-linux", env!("CARGO_PKG_VERSION"), toolchain.architecture());
    let file = folder.join(name);
    fs::copy(&built, &file).with_context(|| format!("copying {} to {}", built.display(), file.display()))?;
    Ok(file)
}

/// This machine's own build, which the others are compared with: that of the tests, which checks its arithmetic, too.
fn reference() -> anyhow::Result<PathBuf> {
    system::install(&[&system::LIBPCAP])?;
    run(cargo().args(["build", "--locked", "--package", "observer", "--bin", "observer"]))?;
    let file = target_dir().join("debug").join("observer");
    ensure!(file.is_file(), "{} is missing after it was built", file.display());
    Ok(file)
}

/// Writes `SHA256SUMS` beside the files, and prints sizes and hashes.
fn report(folder: &Path, made: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    let (mut sums, mut text) = (String::new(), String::new());
    for (_, file) in made {
        let sum = sha256(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::metadata(file).with_context(|| format!("reading {}", file.display()))?.len();
        writeln!(sums, "{sum}  {name}")?;
        let shown = file.strip_prefix(root()).unwrap_or(file);
        writeln!(text, "{}  {bytes} bytes  sha256 {sum}", shown.display())?;
    }
    let list = folder.join("SHA256SUMS");
    fs::write(&list, sums).with_context(|| format!("writing {}", list.display()))?;
    print(&text)
}

/// The SHA-256 of a file, in hex, as coreutils' or Perl's program says it.
fn sha256(file: &Path) -> anyhow::Result<String> {
    let sum = output(program("sha256sum", &["--"]).arg(file))
        .or_else(|| output(program("shasum", &["-a", "256", "--"]).arg(file)));
    let sum = sum.with_context(|| format!("neither sha256sum nor shasum can read {}", file.display()))?;
    // A backslash stands before the hash where the name holds one.
    let hash = sum.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
    ensure!(hash.len() == 64, "no SHA-256 of {} in `{}`", file.display(), sum.trim());
    Ok(hash.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn all_architectures_are_built_unless_some_are_named() {
        assert_eq!(options(&[]).unwrap(), Options { architectures: ARCHITECTURES.to_vec(), runs: true });
        let one = options(&words("aarch64 --no-run")).unwrap();
        assert_eq!(one, Options { architectures: vec!["aarch64"], runs: false });
        assert_eq!(options(&words("x86_64 aarch64 x86_64")).unwrap().architectures, ARCHITECTURES);
        assert!(options(&words("mips")).is_err());
    }

    #[test]
    fn a_files_hash_is_read_from_the_program_that_says_it() {
        let file = std::env::temp_dir().join(format!("xtask-dist-{}", std::process::id()));
        fs::write(&file, "abc").unwrap();
        let sum = sha256(&file);
        fs::remove_file(&file).unwrap();
        assert_eq!(sum.unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(sha256(&file).is_err());
    }
}
