//! What the tasks need from the system, and how each package manager calls it.
//!
//! A need is checked before anything is installed, so that a machine which has everything needs no network and no
//! administrator. Nothing is ever upgraded or removed.

use std::fs;
use std::io::Write;
use std::process::{self, Command, Stdio};

use anyhow::{bail, ensure};

use crate::command::{find_program, output, program, run, succeeds, target_dir};
use crate::ebpf;

/// Something a task needs from the system.
pub(crate) struct Need {
    /// What it is, for messages.
    name: &'static str,
    /// Whether the system has it.
    present: fn() -> bool,
    /// The packages that bring it: apt-get, dnf, apk, pacman, zypper, brew; an empty name where the manager has none.
    packages: [&'static str; MANAGERS.len()],
}

/// A C compiler and linker: for SQLite, zstd and ring, which the observer compiles itself.
pub(crate) const C_COMPILER: Need = Need {
    name: "a C compiler",
    present: || compiles("c", "#include <stdlib.h>\nint main(void) { return abs(0); }\n", &[]),
    packages: ["gcc libc6-dev", "gcc glibc-devel", "gcc musl-dev", "gcc", "gcc glibc-devel", ""],
};

/// libpcap with its headers: the library is linked, the headers serve the benchmark's plain read loop.
pub(crate) const LIBPCAP: Need = Need {
    name: "libpcap with its headers",
    present: || {
        compiles("c", "#include <pcap/pcap.h>\nint main(void) { return !pcap_lib_version(); }\n", &["-lpcap"])
    },
    packages: ["libpcap-dev", "libpcap-devel", "libpcap-dev", "libpcap", "libpcap-devel", "libpcap"],
};

/// A C++ compiler: libFuzzer is written in C++.
pub(crate) const CXX_COMPILER: Need = Need {
    name: "a C++ compiler",
    present: || compiles("c++", "#include <vector>\nint main() { return std::vector<int>().size(); }\n", &[]),
    packages: ["g++", "gcc-c++", "g++", "gcc", "gcc-c++", ""],
};

/// A compiler of the distribution's with `core` for BPF. The other package managers have none: rustup has.
pub(crate) const BPF_RUSTC: Need = Need {
    name: "a Rust compiler with `core` for BPF",
    present: ebpf::system_has_core,
    packages: ["rustc-web libstd-rust-web-dev-bpf", "", "", "", "", ""],
};

/// LLVM as a library, which bpf-linker is built with.
pub(crate) const LLVM: Need = Need {
    name: "LLVM 22 with its headers",
    present: ebpf::has_llvm,
    packages: ["llvm-22-dev zlib1g-dev libxml2-dev", "", "", "", "", ""],
};

/// What the lab of the tests runs: clients, servers, and what makes namespaces. It needs Linux and root.
pub(crate) const LAB: Need = Need {
    name: "programs of the lab",
    present: || LAB_PROGRAMS.iter().all(|program| find_program(program).is_some()),
    packages: [
        "adb bind9-dnsutils curl default-jdk-headless dnsmasq-base gnutls-bin iproute2 nginx-light nodejs openssl python3 util-linux",
        "android-tools bind-utils curl dnsmasq gnutls-utils iproute java-latest-openjdk-devel nginx nodejs openssl python3 util-linux",
        "android-tools bind-tools curl dnsmasq gnutls-utils iproute2 nginx nodejs openjdk21-jdk openssl python3 util-linux",
        "android-tools bind curl dnsmasq gnutls iproute2 jdk-openjdk nginx nodejs openssl python util-linux",
        "android-tools bind-utils curl dnsmasq gnutls iproute2 java-21-openjdk-devel nginx nodejs openssl python3 util-linux",
        "",
    ],
};

/// Chromium: the browser that the HTML report is tried in.
pub(crate) const BROWSER: Need = Need {
    name: "Chromium",
    present: || {
        ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| find_program(name).is_some())
    },
    packages: ["chromium", "chromium", "chromium", "chromium", "chromium", ""],
};

/// tmux: the terminal in which the view of a run is tried.
pub(crate) const TMUX: Need = Need {
    name: "tmux",
    present: || find_program("tmux").is_some(),
    packages: ["tmux", "tmux", "tmux", "tmux", "tmux", "tmux"],
};

/// What makes network namespaces and runs programs in them.
pub(crate) const NAMESPACES: Need = Need {
    name: "ip and nsenter",
    present: || ["ip", "nsenter"].iter().all(|program| find_program(program).is_some()),
    packages: [
        "iproute2 util-linux",
        "iproute util-linux",
        "iproute2 util-linux",
        "iproute2 util-linux",
        "iproute2 util-linux",
        "",
    ],
};

/// Wireshark's capture program, which the benchmark compares with.
pub(crate) const DUMPCAP: Need = Need {
    name: "dumpcap",
    present: || find_program("dumpcap").is_some(),
    packages: [
        "wireshark-common",
        "wireshark-cli",
        "wireshark-common",
        "wireshark-cli",
        "wireshark",
        "wireshark",
    ],
};

/// The programs that [`LAB`] brings.
const LAB_PROGRAMS: [&str; 16] = [
    "adb",
    "curl",
    "dig",
    "dnsmasq",
    "gnutls-cli",
    "gnutls-serv",
    "ip",
    "java",
    "nginx",
    "node",
    "nsenter",
    "openssl",
    "python3",
    "setpriv",
    "tc",
    "unshare",
];

/// readelf: shows what a loader sees of a program.
pub(crate) const BINUTILS: Need = Need {
    name: "readelf",
    present: || find_program("readelf").is_some(),
    packages: ["binutils", "binutils", "binutils", "binutils", "binutils", ""],
};

/// What libpcap's own sources are built with, beside a C compiler.
pub(crate) const LIBPCAP_BUILD: Need = Need {
    name: "make, flex and bison",
    present: || ["make", "flex", "bison"].iter().all(|name| find_program(name).is_some()),
    packages: [
        "make flex bison",
        "make flex bison",
        "make flex bison",
        "make flex bison",
        "make flex bison",
        "",
    ],
};

/// pip: brings a C compiler for other processors.
pub(crate) const PIP: Need = Need {
    name: "pip",
    present: || succeeds(&mut program("python3", &["-m", "pip", "--version"])),
    packages: ["python3-pip", "python3-pip", "py3-pip", "python-pip", "python3-pip", ""],
};

/// qemu-user: runs programs that were built for another processor.
pub(crate) const QEMU_USER: Need = Need {
    name: "qemu-user",
    present: || {
        let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
        ["-static", ""].iter().any(|end| find_program(&format!("qemu-{other}{end}")).is_some())
    },
    packages: [
        "qemu-user-static",
        "qemu-user-static",
        "qemu-aarch64 qemu-x86_64",
        "qemu-user-static",
        "qemu-linux-user",
        "",
    ],
};

/// A package manager: its program, and the words that refresh its lists and that install.
struct Manager {
    program: &'static str,
    refresh: &'static [&'static str],
    install: &'static [&'static str],
    /// Whether it must run as the administrator.
    privileged: bool,
}

/// The package managers that are known, in the order of the columns of [`Need::packages`].
const MANAGERS: [Manager; 6] = [
    Manager {
        program: "apt-get",
        refresh: &["update", "--quiet"],
        install: &["install", "--quiet", "--yes", "--no-install-recommends"],
        privileged: true,
    },
    Manager { program: "dnf", refresh: &[], install: &["install", "--assumeyes"], privileged: true },
    Manager { program: "apk", refresh: &[], install: &["add", "--no-progress"], privileged: true },
    Manager {
        program: "pacman",
        refresh: &[],
        install: &["--sync", "--refresh", "--needed", "--noconfirm"],
        privileged: true,
    },
    Manager {
        program: "zypper",
        refresh: &[],
        install: &["--non-interactive", "install", "--no-recommends"],
        privileged: true,
    },
    Manager { program: "brew", refresh: &[], install: &["install"], privileged: false },
];

/// Installs those of `needs` that the system lacks, and checks that they are there afterwards.
pub(crate) fn install(needs: &[&Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.name).collect::<Vec<_>>().join(", ");
    eprintln!("This machine lacks {names}.");
    if cfg!(target_os = "macos") && !succeeds(&mut program("xcode-select", &["-p"])) {
        bail!("run `xcode-select --install` (it brings a C compiler and libpcap), then run this task again");
    }
    let Some((column, manager)) =
        MANAGERS.iter().enumerate().find(|(_, manager)| find_program(manager.program).is_some())
    else {
        bail!("no package manager that this task knows is on the path; install {names} and run it again");
    };
    let packages = packages_of(&missing, column);
    ensure!(
        !packages.is_empty(),
        "{} has no package for {names}; install it and run this again",
        manager.program
    );
    if !manager.refresh.is_empty() {
        run(&mut administrator(manager, manager.refresh, &[])?)?;
    }
    run(&mut administrator(manager, manager.install, &packages)?)?;
    match missing.iter().find(|need| !(need.present)()) {
        Some(need) => bail!("{} is still missing after installing {}", need.name, packages.join(" ")),
        None => Ok(()),
    }
}

/// The packages of one manager, each once, in order.
fn packages_of(needs: &[&Need], column: usize) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for need in needs {
        for package in need.packages.get(column).copied().unwrap_or_default().split_whitespace() {
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
    }
    packages
}

/// Whether this process is the administrator's.
pub(crate) fn is_root() -> bool {
    output(&mut program("id", &["-u"])).is_some_and(|id| id.trim() == "0")
}

/// The manager's command, through sudo or doas where the user is not the administrator.
fn administrator(manager: &Manager, verb: &[&str], packages: &[&str]) -> anyhow::Result<Command> {
    let mut words = vec![manager.program];
    if manager.program == "apt-get" {
        words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    }
    words.extend_from_slice(verb);
    words.extend_from_slice(packages);
    if manager.privileged && !is_root() {
        let Some(gate) = ["sudo", "doas"].into_iter().find(|gate| find_program(gate).is_some()) else {
            bail!("run this as root, then run the task again: {}", words.join(" "));
        };
        words.insert(0, gate);
    }
    let (name, args) = words.split_first().unwrap_or((&manager.program, &[]));
    Ok(program(name, args))
}

/// Whether a program in `language` compiles and links with `libraries`.
fn compiles(language: &str, source: &str, libraries: &[&str]) -> bool {
    let compiler = if language == "c++" { "c++" } else { "cc" };
    // Not /dev/null: a linker that replaces its output takes it away from everybody, if it runs as root.
    let folder = target_dir();
    if fs::create_dir_all(&folder).is_err() {
        return false;
    }
    let output = folder.join(format!("probe-{}", process::id()));
    let mut command = program(compiler, &["-x", language, "-", "-o"]);
    command.arg(&output).args(libraries);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    // A compiler that ends without reading is judged by its exit code.
    let _ = child.stdin.take().map(|mut input| input.write_all(source.as_bytes()));
    let compiled = child.wait().is_ok_and(|status| status.success());
    // Where nothing was written there is nothing to remove.
    let _ = fs::remove_file(&output);
    compiled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_check_tells_good_from_bad() {
        assert!(compiles("c", "int main(void) { return 0; }\n", &[]));
        assert!(!compiles("c", "int main(void) { return undeclared; }\n", &[]));
        assert!(!compiles("c", "#include <no/such/header.h>\nint main(void) { return 0; }\n", &[]));
        assert!(!compiles("c", "int main(void) { return 0; }\n", &["-lno-such-library"]));
    }

    #[test]
    fn packages_are_listed_once() {
        assert_eq!(packages_of(&[&C_COMPILER, &LIBPCAP], 0), ["gcc", "libc6-dev", "libpcap-dev"]);
        assert_eq!(packages_of(&[&C_COMPILER, &CXX_COMPILER], 3), ["gcc"]);
        assert!(packages_of(&[&C_COMPILER], 5).is_empty());
    }

    #[test]
    fn what_is_present_is_not_installed() {
        let present = Need { name: "nothing", present: || true, packages: [""; MANAGERS.len()] };
        assert!(install(&[&present]).is_ok());
    }
}
