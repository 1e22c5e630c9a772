//! What compiles and links for a device: Rust's standard library, a C compiler, and a linker.
//!
//! Two kinds exist. With rustup, the musl target: its standard library brings libc and start files, `rust-lld` of the
//! toolchain links, and Zig's C compiler, which carries musl's headers for every processor, compiles SQLite, zstd, ring,
//! mimalloc and libpcap. Without rustup, a distribution's standard library and cross compiler, and its static glibc. The
//! second makes larger files, and there glibc looks for its name-service libraries when a filter expression names a host
//! or a service; numbers need nothing.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use anyhow::{Context, bail};

use super::PAGE_BYTES;
use crate::command::{find_program, output, program, root, run, succeeds};
use crate::system;

/// The version of Zig that pip is asked for.
const ZIG_VERSION: &str = "0.17.1";

/// What compiles and links for one architecture.
pub(super) struct Toolchain {
    architecture: &'static str,
    /// The C library that goes into the file: the last part of the target's name.
    c_library: &'static str,
    c_compiler: String,
    archiver: String,
    linker: String,
    /// Where those programs lie, if not on the path.
    programs: Option<PathBuf>,
}

impl Toolchain {
    /// The toolchain for `architecture`, installed where that is possible. What it needs of its own goes into `folder`.
    pub(super) fn find(architecture: &'static str, folder: &Path) -> anyhow::Result<Self> {
        let musl = format!("{architecture}-unknown-linux-musl");
        if has_standard_library(&musl) || add_standard_library(&musl) {
            return Self::musl(architecture, &folder.join("tools"));
        }
        let gnu = format!("{architecture}-unknown-linux-gnu");
        let compiler = format!("{architecture}-linux-gnu-gcc");
        if has_standard_library(&gnu) && links_statically(&compiler, folder) {
            return Ok(Self {
                architecture,
                c_library: "gnu",
                archiver: format!("{architecture}-linux-gnu-ar"),
                linker: compiler.clone(),
                c_compiler: compiler,
                programs: None,
            });
        }
        bail!(
            "no toolchain for {architecture}: with rustup, run `rustup target add {musl}`; without it, install the \
             distribution's Rust standard library for {gnu} (Debian: libstd-rust-dev of that architecture) and \
             {compiler} with a static libc (Debian: gcc-{0}-linux-gnu libc6-dev-*-cross)",
            architecture.replace('_', "-")
        )
    }

    /// The musl target with Zig as the C compiler.
    fn musl(architecture: &'static str, tools: &Path) -> anyhow::Result<Self> {
        let zig = find_zig(tools)?;
        let toolchain = Self {
            architecture,
            c_library: "musl",
            c_compiler: format!("zig-cc-{architecture}"),
            archiver: "zig-ar".to_owned(),
            linker: "rust-lld".to_owned(),
            programs: Some(tools.to_owned()),
        };
        // Zig writes a target's name without the vendor; a build script's name for it is dropped. Its sanitizer of undefined
        // behaviour calls a runtime that nobody links here.
        let compile = format!(
            "for word do\n    shift\n    case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; esac\ndone\n\
             exec \"$ZIG\" cc -target {architecture}-linux-musl -fno-sanitize=undefined \"$@\"\n"
        );
        for (name, text) in
            [(&toolchain.c_compiler, compile.as_str()), (&toolchain.archiver, "exec \"$ZIG\" ar \"$@\"\n")]
        {
            let script = format!("#!/bin/sh\nZIG={}\n{text}", quoted(&zig.to_string_lossy()));
            write_program(&tools.join(name), &script)?;
        }
        Ok(toolchain)
    }

    /// The processor's name.
    pub(super) fn architecture(&self) -> &'static str {
        self.architecture
    }

    /// Rust's name of the target.
    pub(super) fn target(&self) -> String {
        format!("{}-unknown-linux-{}", self.architecture, self.c_library)
    }

    /// The target as configure scripts write it.
    pub(super) fn host(&self) -> String {
        format!("{}-linux-{}", self.architecture, self.c_library)
    }

    /// The C compiler's name.
    pub(super) fn c_compiler(&self) -> &str {
        &self.c_compiler
    }

    /// The archiver's name.
    pub(super) fn archiver(&self) -> &str {
        &self.archiver
    }

    /// One line for the log.
    pub(super) fn description(&self) -> String {
        format!("{}, compiled by {}, linked by {}", self.target(), self.c_compiler, self.linker)
    }

    /// Makes a command find the toolchain's programs.
    pub(super) fn set_path(&self, command: &mut Command) -> anyhow::Result<()> {
        if let Some(programs) = &self.programs {
            let path = env::var_os("PATH").unwrap_or_default();
            let paths = std::iter::once(programs.clone()).chain(env::split_paths(&path));
            command.env("PATH", env::join_paths(paths).context("the tools' folder cannot be on the path")?);
            command.env("ZIG_GLOBAL_CACHE_DIR", programs.join("zig-cache"));
        }
        Ok(())
    }

    /// Makes Cargo compile and link with this toolchain.
    pub(super) fn prepare(&self, cargo: &mut Command) -> anyhow::Result<()> {
        self.set_path(cargo)?;
        let target = self.target().replace('-', "_");
        cargo.env(format!("CC_{target}"), &self.c_compiler);
        cargo.env(format!("AR_{target}"), &self.archiver);
        cargo.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), &self.linker);
        // The person's own flags are for this machine's processor and linker.
        cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags().join("\u{1f}"));
        Ok(())
    }

    fn rust_flags(&self) -> Vec<String> {
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        for size in ["max-page-size", "common-page-size"] {
            flags.push(if self.c_library == "musl" {
                format!("-Clink-arg=-z{size}={PAGE_BYTES}")
            } else {
                format!("-Clink-arg=-Wl,-z,{size}={PAGE_BYTES}")
            });
        }
        if self.c_library == "musl" {
            flags.push("-Clink-self-contained=yes".to_owned());
        }
        // A panic's message says where in the sources it was, not where these lay on the machine that built them.
        for (folder, name) in [(Some(root().to_owned()), "observer"), (cargo_home(), "cargo")] {
            if let Some(folder) = folder {
                flags.push(format!("--remap-path-prefix={}=/{name}", folder.display()));
            }
        }
        flags
    }
}

/// Where Cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// The compiler that belongs to the Cargo that runs this task.
fn rustc() -> OsString {
    let beside = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside.filter(|file| file.is_file()).map_or_else(|| "rustc".into(), PathBuf::into_os_string)
}

/// Whether the toolchain has Rust's standard library for `target`.
fn has_standard_library(target: &str) -> bool {
    let folder = output(&mut program(rustc(), &["--print", "target-libdir", "--target", target]));
    let Some(entries) = folder.and_then(|folder| fs::read_dir(folder.trim()).ok()) else { return false };
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.any(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
}

/// Asks rustup for the standard library for `target`, where rustup manages the toolchain.
fn add_standard_library(target: &str) -> bool {
    // Set by rustup for what it starts: another Cargo has a toolchain that rustup knows nothing of.
    if env::var_os("RUSTUP_TOOLCHAIN").is_none() || find_program("rustup").is_none() {
        return false;
    }
    match run(&mut program("rustup", &["target", "add", target])) {
        Ok(()) => has_standard_library(target),
        Err(error) => {
            eprintln!("# {error:#}; looking for another toolchain");
            false
        }
    }
}

/// Zig: the one on the path, or the one that pip brings into `tools`.
fn find_zig(tools: &Path) -> anyhow::Result<PathBuf> {
    if let Some(zig) = find_program("zig") {
        return Ok(zig);
    }
    let folder = tools.join(format!("zig-{ZIG_VERSION}"));
    let zig = folder.join("ziglang").join("zig");
    if !runs(&zig) {
        system::install(&[&system::PIP])?;
        let package = format!("ziglang=={ZIG_VERSION}");
        let mut pip = program("python3", &["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]);
        run(pip.arg("--target").arg(&folder).arg(package)).context(
            "Zig compiles the C parts for the device: put `zig` on the path, or let pip install it",
        )?;
    }
    if runs(&zig) { Ok(zig) } else { bail!("{} does not run after pip installed it", zig.display()) }
}

fn runs(zig: &Path) -> bool {
    succeeds(&mut program(zig, &["version"]))
}

/// Whether `compiler` makes a static program.
fn links_statically(compiler: &str, folder: &Path) -> bool {
    let file = folder.join(format!("probe-{}", process::id()));
    let mut command = program(compiler, &["-static", "-x", "c", "-", "-o"]);
    command.arg(&file).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    // A compiler that ends without reading is judged by its exit code.
    let _ = child.stdin.take().map(|mut input| input.write_all(b"int main(void) { return 0; }\n"));
    let linked = child.wait().is_ok_and(|status| status.success());
    // Where nothing was written there is nothing to remove.
    let _ = fs::remove_file(&file);
    linked
}

/// A word as the shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Writes a script, unless it is there as it should be: what watches its time stays as it was built.
fn write_program(file: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(file).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text));
    #[cfg(unix)]
    let written = written.and_then(|()| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))
    });
    written.with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(c_library: &'static str) -> Toolchain {
        Toolchain {
            architecture: "aarch64",
            c_library,
            c_compiler: "some-cc".to_owned(),
            archiver: "some-ar".to_owned(),
            linker: "some-ld".to_owned(),
            programs: Some(PathBuf::from("/some/tools")),
        }
    }

    #[test]
    fn cargo_is_told_of_compiler_linker_and_alignment() {
        let mut command = Command::new("cargo");
        toolchain("musl").prepare(&mut command).unwrap();
        let value = |name: &str| {
            let found = command.get_envs().find(|(known, _)| *known == name);
            found.and_then(|(_, value)| value).map(|value| value.to_string_lossy().into_owned())
        };
        assert_eq!(value("CC_aarch64_unknown_linux_musl").as_deref(), Some("some-cc"));
        assert_eq!(value("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER").as_deref(), Some("some-ld"));
        assert!(value("PATH").unwrap().starts_with("/some/tools:"));
        let flags = value("CARGO_ENCODED_RUSTFLAGS").unwrap();
        assert!(flags.split('\u{1f}').any(|flag| flag == "-Clink-arg=-zmax-page-size=16384"), "{flags}");
        assert_eq!(value("RUSTFLAGS"), None);
    }

    #[test]
    fn a_compiler_driver_hands_flags_on_to_its_linker() {
        let flags = toolchain("gnu").rust_flags();
        assert!(flags.contains(&"-Clink-arg=-Wl,-z,max-page-size=16384".to_owned()), "{flags:?}");
        assert!(!flags.iter().any(|flag| flag.contains("self-contained")), "{flags:?}");
    }

    #[test]
    fn the_toolchain_has_a_standard_library_for_this_machine_and_none_for_an_invented_one() {
        assert!(!has_standard_library("no-such-target"));
        let version = output(&mut program(rustc(), &["-vV"])).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        assert!(has_standard_library(host), "{host}");
    }

    #[test]
    fn quoted_words_reach_the_shell_as_they_are() {
        let word = "it's \"$HOME\" `x`";
        let said = output(&mut program("sh", &["-c", &format!("printf %s {}", quoted(word))]));
        assert_eq!(said.as_deref(), Some(word));
    }
}
