//! A static libpcap from its own sources: a distribution's is made for that distribution's libc and processor, and asks for
//! D-Bus, RDMA or Bluetooth libraries that no device has.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::sha256;
use super::toolchain::Toolchain;
use crate::command::{find_program, output, program, run, succeeds};

/// The version that is built.
pub(super) const VERSION: &str = "1.10.3";

/// The SHA-256 of its source archive, the same at tcpdump.org and in Debian 12.
const SHA256: &str = "2a8885c403516cf7b0933ed4b14d6caa30e02052489ebd414dc75ac52e7559e6";

/// Where its authors publish it.
const ADDRESS: &str = "https://www.tcpdump.org/release";

/// What is left out: capture from anything but the kernel's packet sockets, and every library beyond libc.
const LEFT_OUT: [&str; 12] = [
    "--disable-shared",
    "--disable-bluetooth",
    "--disable-dbus",
    "--disable-netmap",
    "--disable-rdma",
    "--disable-usb",
    "--without-dag",
    "--without-dpdk",
    "--without-libnl",
    "--without-septel",
    "--without-snf",
    "--without-turbocap",
];

/// Builds libpcap with `toolchain`, unless that is done, and returns the folder that holds `libpcap.a`.
pub(super) fn build(toolchain: &Toolchain, folder: &Path) -> anyhow::Result<PathBuf> {
    let archive = source(&folder.join("sources"))?;
    let sources = folder.join(format!("libpcap-{VERSION}-{}", toolchain.host()));
    let done = sources.join("observer-built");
    let recipe = format!("{SHA256} {} {}", toolchain.description(), LEFT_OUT.join(" "));
    if fs::read_to_string(&done).is_ok_and(|present| present == recipe) && sources.join("libpcap.a").is_file()
    {
        return Ok(sources);
    }
    if sources.exists() {
        fs::remove_dir_all(&sources).with_context(|| format!("removing {}", sources.display()))?;
    }
    fs::create_dir_all(&sources).with_context(|| format!("creating {}", sources.display()))?;
    run(program("tar", &["-xf"]).arg(&archive).args(["--strip-components=1", "-C"]).arg(&sources))?;

    let mut configure = program("./configure", &["--quiet", "--with-pcap=linux"]);
    configure.arg(format!("--host={}", toolchain.host())).args(LEFT_OUT);
    configure.env("CC", toolchain.c_compiler()).env("AR", toolchain.archiver());
    // An archiver writes its own index when told `s`; there is no ranlib for every toolchain.
    configure
        .env("RANLIB", format!("{} s", toolchain.archiver()))
        .env("CFLAGS", "-O2 -g0 -ffunction-sections");
    toolchain.set_path(&mut configure)?;
    run(configure.current_dir(&sources))?;
    let mut make = program("make", &["--silent", "libpcap.a"]);
    toolchain.set_path(&mut make)?;
    run(make.current_dir(&sources))?;

    ensure!(sources.join("libpcap.a").is_file(), "libpcap built no libpcap.a in {}", sources.display());
    fs::write(&done, recipe).with_context(|| format!("writing {}", done.display()))?;
    Ok(sources)
}

/// The source archive, found in `folder` or fetched into it: from its authors, or from apt's sources.
fn source(folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let archive = folder.join(format!("libpcap-{VERSION}.tar.gz"));
    if archive.is_file() && sha256(&archive)? == SHA256 {
        return Ok(archive);
    }
    let partial = folder.join("partial");
    let fetched = download(&partial) || from_apt(folder, &partial)?;
    if !fetched {
        bail!(
            "no source of libpcap {VERSION}: put {ADDRESS}/libpcap-{VERSION}.tar.gz into {}",
            folder.display()
        );
    }
    let sum = sha256(&partial)?;
    ensure!(sum == SHA256, "the fetched source of libpcap {VERSION} has SHA-256 {sum}, not {SHA256}");
    fs::rename(&partial, &archive).with_context(|| format!("naming {}", archive.display()))?;
    Ok(archive)
}

/// Fetches the archive from its authors with curl or wget.
fn download(file: &Path) -> bool {
    let address = format!("{ADDRESS}/libpcap-{VERSION}.tar.gz");
    let mut curl = program("curl", &["-fsSL", "--connect-timeout", "15", "--max-time", "120", "-o"]);
    let mut wget = program("wget", &["-q", "--timeout=15", "--tries=2", "-O"]);
    eprintln!("# fetching {address}");
    succeeds(curl.arg(file).arg(&address)) || succeeds(wget.arg(file).arg(&address))
}

/// Fetches the archive through apt, from the machine's own package sources, which stay as they are: lists and settings for
/// sources lie in `folder`.
fn from_apt(folder: &Path, file: &Path) -> anyhow::Result<bool> {
    if find_program("apt-get").is_none() {
        return Ok(false);
    }
    eprintln!("# asking apt for the source of libpcap");
    let apt = folder.join("apt");
    let parts = apt.join("sources.list.d");
    for made in [&parts, &apt.join("lists/partial"), &apt.join("cache/archives/partial")] {
        fs::create_dir_all(made).with_context(|| format!("creating {}", made.display()))?;
    }
    copy_package_sources(&parts)?;
    let user = output(&mut program("id", &["-un"])).unwrap_or_default();
    let settings = [
        format!("Dir::State::Lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={}", parts.display()),
        format!("APT::Sandbox::User={}", user.trim()),
    ];
    let apt_get = |words: &[&str]| {
        let mut command = program("apt-get", &[]);
        for setting in &settings {
            command.args(["-o", setting]);
        }
        command.args(words).current_dir(folder);
        run(&mut command)
    };
    apt_get(&["update", "--quiet"])?;
    apt_get(&["source", "--quiet", "--download-only", "--tar-only", "libpcap"])?;
    let name = format!("libpcap_{VERSION}.orig.tar.gz");
    let fetched = folder.join(&name);
    ensure!(
        fetched.is_file(),
        "apt has another version of libpcap's source than {name}, which this task is made for"
    );
    fs::rename(&fetched, file).with_context(|| format!("naming {}", file.display()))?;
    Ok(true)
}

/// Writes the machine's package sources into `parts`, each turned from binary packages to sources.
fn copy_package_sources(parts: &Path) -> anyhow::Result<()> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    for file in files {
        let Some(name) = file.file_name() else { continue };
        let deb822 = file.extension() == Some(OsStr::new("sources"));
        if !deb822 && file.extension() != Some(OsStr::new("list")) {
            continue;
        }
        // Not every machine has the old list.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let copy = parts.join(name);
        fs::write(&copy, of_sources(&text, deb822)).with_context(|| format!("writing {}", copy.display()))?;
    }
    Ok(())
}

/// A list of package sources with `deb` as `deb-src` throughout; `deb822`: in the form of `*.sources` files.
fn of_sources(text: &str, deb822: bool) -> String {
    let mut turned = String::with_capacity(text.len());
    for line in text.lines() {
        match line.split_once([' ', '\t']) {
            Some(("deb", rest)) if !deb822 => turned.push_str(&format!("deb-src {rest}")),
            _ if deb822 && line.to_ascii_lowercase().starts_with("types:") => {
                turned.push_str("Types: deb-src")
            }
            _ => turned.push_str(line),
        }
        turned.push('\n');
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_sources_are_turned_in_both_forms() {
        let old = "# a list\ndeb [arch=amd64] http://mirror.test/debian stable main\ndeb-src http://mirror.test/debian x y\n";
        let turned = "# a list\ndeb-src [arch=amd64] http://mirror.test/debian stable main\n\
                      deb-src http://mirror.test/debian x y\n";
        assert_eq!(of_sources(old, false), turned);
        let new = "Types: deb\nURIs: http://mirror.test/debian\nSuites: stable\n";
        assert_eq!(of_sources(new, true), new.replace("deb\n", "deb-src\n").replace("debian-src", "debian"));
    }

    #[test]
    fn an_archive_with_another_hash_is_not_taken() {
        let folder = std::env::temp_dir().join(format!("xtask-libpcap-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let archive = folder.join(format!("libpcap-{VERSION}.tar.gz"));
        fs::write(&archive, "not libpcap").unwrap();
        let sum = sha256(&archive).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_ne!(sum, SHA256);
        assert_eq!(SHA256.len(), sum.len());
    }
}
