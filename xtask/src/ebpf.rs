//! `cargo xtask ebpf`: the kernel programs, from `observer-ebpf/src` to the object that is committed beside them.
//!
//! The object is committed so that building the observer takes no toolchain for BPF. It is a function of the sources and
//! of three programs, whose versions are committed with it: a check with other versions proves nothing, and says so.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::command::{cargo, find_program, output, program, root, run, target_dir};
use crate::{Task, print, system, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "ebpf",
    summary: "builds the kernel programs, or checks that the committed object is what the sources give",
    help: "\
Usage: cargo xtask ebpf [--check]

Builds observer-ebpf for bpfel-unknown-none and copies it to observer-ebpf/observer.bpf.o; the versions of what
made it go to observer-ebpf/TOOLCHAIN. Takes the system's rustc if it has `core` for the target (on Debian:
rustc-web and libstd-rust-web-dev-bpf, installed if lacking), else a nightly of rustup with the component rust-src.
bpf-linker is built into target/tools if there is none of the right version.

Options:
  --check  build with the versions of TOOLCHAIN and fail unless the committed object is the same, byte for byte
",
    run: ebpf,
};

/// The package of the programs.
const PACKAGE: &str = "observer-ebpf";
/// The object that is committed.
const OBJECT: &str = "observer-ebpf/observer.bpf.o";
/// What made it.
const TOOLCHAIN: &str = "observer-ebpf/TOOLCHAIN";
/// The machine that the programs run on: the kernel's, little-endian.
const TARGET: &str = "bpfel-unknown-none";
/// The version of bpf-linker, the LLVM that it is built with, and where Debian puts that.
const LINKER: (&str, &str, &str) = ("0.13.0", "llvm-22", "/usr/lib/llvm-22");

fn ebpf(words: &[String]) -> anyhow::Result<()> {
    let check = match words {
        [] => false,
        [word] if word == "--check" => true,
        [word, ..] => return Err(unknown_word(&TASK, word)),
    };
    let toolchain = Toolchain::find()?;
    print(&format!("{toolchain}"))?;
    let committed = root().join(OBJECT);
    let versions = root().join(TOOLCHAIN);
    if !check {
        let built = toolchain.build()?;
        fs::copy(&built, &committed).with_context(|| format!("writing {OBJECT}"))?;
        fs::write(&versions, toolchain.to_string()).with_context(|| format!("writing {TOOLCHAIN}"))?;
        return Ok(());
    }
    run(cargo().args(["fmt", "--check", "--manifest-path", &format!("{PACKAGE}/Cargo.toml")]))?;
    let recorded = fs::read_to_string(&versions).with_context(|| format!("reading {TOOLCHAIN}"))?;
    ensure!(
        recorded == toolchain.to_string(),
        "{OBJECT} cannot be compared: it was made with\n{recorded}and here is\n{toolchain}\
         Another compiler gives other bytes from the same sources. Install what {TOOLCHAIN} names, or run \
         `cargo xtask ebpf` and commit both files."
    );
    let built = toolchain.build()?;
    let fresh = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    let old = fs::read(&committed).with_context(|| format!("reading {OBJECT}"))?;
    if let Some(at) = first_difference(&fresh, &old) {
        bail!(
            "{OBJECT} is not what the sources give: {} bytes committed, {} built, different from byte {at} on; run \
             `cargo xtask ebpf` and commit it",
            old.len(),
            fresh.len()
        );
    }
    print(&format!("{OBJECT}: {} bytes, just what the sources give\n", old.len()))
}

/// Where two byte strings begin to differ.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (common < a.len().max(b.len())).then_some(common)
}

/// What the object depends on besides the sources. Printed as it is recorded.
struct Toolchain {
    rustc: PathBuf,
    /// `core` is compiled with the programs, for want of a compiled one.
    build_core: bool,
    rustc_version: String,
    linker: PathBuf,
    linker_version: String,
    llvm_version: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.rustc_version)?;
        writeln!(f, "{}", self.linker_version)?;
        writeln!(f, "LLVM {}", self.llvm_version)
    }
}

impl Toolchain {
    /// Finds a compiler that has `core` for BPF and the linker; installs what is lacking.
    fn find() -> anyhow::Result<Self> {
        let (rustc, build_core) = match compiler() {
            Some(found) => found,
            None => {
                system::install(&[&system::BPF_RUSTC]).context(
                    "no rustc here has `core` for BPF; with rustup: `rustup toolchain install nightly --component rust-src`",
                )?;
                compiler().context("no rustc here has `core` for BPF")?
            }
        };
        let rustc_version = version(&rustc)?;
        let (linker, llvm_version) = linker()?;
        let linker_version = version(&linker)?;
        Ok(Self { rustc, build_core, rustc_version, linker, linker_version, llvm_version })
    }

    /// Builds the object and returns where it lies.
    fn build(&self) -> anyhow::Result<PathBuf> {
        // Apart from the other builds: they have another compiler.
        let target = target_dir().join("ebpf");
        let mut command = cargo();
        command.args(["build", "--locked", "--release", "--target", TARGET]);
        command.args(["--manifest-path", &format!("{PACKAGE}/Cargo.toml"), "--target-dir"]).arg(&target);
        if self.build_core {
            command.args(["-Z", "build-std=core"]);
        }
        // A stable compiler takes what BPF needs (an unstable target) only if it is told to.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", &self.rustc);
        command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker);
        // No path of this machine gets into the object.
        let flags = ["--remap-path-prefix", &format!("{}=.", root().display()), "-Cdebuginfo=0"].join("\x1f");
        command.env("CARGO_ENCODED_RUSTFLAGS", flags).env_remove("RUSTFLAGS").env_remove("RUSTC_WRAPPER");
        run(&mut command)?;
        Ok(target.join(TARGET).join("release").join(PACKAGE))
    }
}

/// A compiler with `core` for BPF, and whether that has to be compiled first.
fn compiler() -> Option<(PathBuf, bool)> {
    let system = Path::new("/usr/bin/rustc");
    if system_has_core() {
        return Some((system.to_owned(), false));
    }
    let nightly = output(&mut program("rustup", &["which", "--toolchain", "nightly", "rustc"]))?;
    let nightly = PathBuf::from(nightly.trim());
    let source = sysroot(&nightly)?.join("lib/rustlib/src/rust/library/core");
    source.is_dir().then_some((nightly, true))
}

/// Whether the distribution's compiler comes with a compiled `core` for BPF.
pub(crate) fn system_has_core() -> bool {
    let Some(sysroot) = sysroot(Path::new("/usr/bin/rustc")) else { return false };
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    output(&mut program(rustc, &["--print", "sysroot"])).map(|path| PathBuf::from(path.trim()))
}

/// bpf-linker, built if there is none of the version wanted, and the version of its LLVM.
fn linker() -> anyhow::Result<(PathBuf, String)> {
    let (wanted, feature, prefix) = LINKER;
    let llvm_version = || {
        let config = Path::new(prefix).join("bin/llvm-config");
        output(&mut program(config, &["--version"])).map(|version| version.trim().to_owned())
    };
    if llvm_version().is_none() {
        system::install(&[&system::LLVM])?;
    }
    let llvm_version = llvm_version().with_context(|| format!("{prefix}/bin/llvm-config does not run"))?;
    let own = target_dir().join("tools");
    let candidates = [Some(own.join("bin/bpf-linker")), find_program("bpf-linker")];
    let fits = |path: &PathBuf| version(path).is_ok_and(|found| found == format!("bpf-linker {wanted}"));
    if let Some(found) = candidates.into_iter().flatten().find(fits) {
        return Ok((found, llvm_version));
    }
    let mut install = cargo();
    install.args(["install", "bpf-linker", "--version", wanted, "--locked", "--no-default-features"]);
    install.args(["--features", feature, "--root"]).arg(&own).env("LLVM_PREFIX", prefix);
    run(&mut install)?;
    Ok((own.join("bin/bpf-linker"), llvm_version))
}

/// What a program says of its version.
fn version(path: &Path) -> anyhow::Result<String> {
    let text = output(&mut program(path, &["--version"]));
    let line = text.as_deref().and_then(|text| text.lines().next()).map(str::trim);
    line.map(str::to_owned).with_context(|| format!("{} does not tell its version", path.display()))
}

/// Whether the LLVM that bpf-linker is built with is installed.
pub(crate) fn has_llvm() -> bool {
    Path::new(LINKER.2).join("bin/llvm-config").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_where_it_is() {
        assert_eq!(first_difference(b"abc", b"abc"), None);
        assert_eq!(first_difference(b"abc", b"abd"), Some(2));
        assert_eq!(first_difference(b"abc", b"abcd"), Some(3));
        assert_eq!(first_difference(b"", b"a"), Some(0));
    }

    #[test]
    fn the_committed_object_names_what_made_it() {
        let recorded = fs::read_to_string(root().join(TOOLCHAIN)).unwrap();
        let lines: Vec<&str> = recorded.lines().collect();
        assert!(lines[0].starts_with("rustc ") && lines[2].starts_with("LLVM "), "{recorded}");
        assert_eq!(lines[1], format!("bpf-linker {}", LINKER.0));
        assert!(root().join(OBJECT).is_file());
    }
}
