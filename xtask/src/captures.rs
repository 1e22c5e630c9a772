//! `cargo xtask captures`: records the capture files, and keeps their manifest in step.
//!
//! The recipes are Python (`captures/recipes`), because what they drive is other programs; this task installs those
//! programs and runs the recipes. Recording asks for Debian or a derivative of it, and for root; checking asks for nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::command::{cargo, find_program, output, program, root, run, succeeds, target_dir};
use crate::{Task, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "captures",
    summary: "records the capture files from real clients and servers",
    help: "\
Usage: cargo xtask captures [NAME]...
       cargo xtask captures --check | --index | --list

Records the named captures, or all: a file (tls/tls13-good.pcap), a folder (tls/) or a prefix. Installs the clients
and servers that the recipes drive (with apt-get) and a Python environment under Cargo's target directory, makes two
network namespaces, and needs root. Each recording is held against tshark before it replaces the old one; then
captures/MANIFEST.toml and captures/src/index.rs are written again, and each change is named.

  --check   hold manifest, index, recipes and files together; needs no root
  --index   write manifest and index again from the recipes, without recording
  --list    name every capture with what it shows
",
    run: captures,
};

/// What the recipes run, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("Xvfb", "xvfb"),
    ("amqp-publish", "amqp-tools"),
    ("apache2", "apache2-bin"),
    ("aria2c", "aria2"),
    ("baresip", "baresip-core"),
    ("chromium", "chromium"),
    ("chronyd", "chrony"),
    ("curl", "curl"),
    ("danted", "dante-server"),
    ("dhclient", "isc-dhcp-client"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("dovecot", "dovecot-imapd dovecot-pop3d"),
    ("editcap", "wireshark-common"),
    ("ethtool", "ethtool"),
    ("ffmpeg", "ffmpeg"),
    ("gnutls-cli", "gnutls-bin"),
    ("go", "golang-go"),
    (
        "gst-launch-1.0",
        "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gir1.2-gst-rtsp-server-1.0 python3-gi",
    ),
    ("in.telnetd", "telnetd-ssl"),
    ("inetutils-telnet", "inetutils-telnet"),
    ("inspircd", "inspircd"),
    ("ip", "iproute2"),
    ("irssi", "irssi"),
    ("javac", "default-jdk-headless"),
    ("kamailio", "kamailio"),
    ("kdig", "knot-dnsutils"),
    ("ldapsearch", "ldap-utils"),
    ("lftp", "lftp"),
    ("lz4", "lz4"),
    ("mariadb", "mariadb-client"),
    ("mariadbd", "mariadb-server"),
    ("microsocks", "microsocks"),
    ("mosquitto", "mosquitto"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("nft", "nftables"),
    ("nghttp", "nghttp2-client"),
    ("nghttpd", "nghttp2-server"),
    ("nginx", "nginx-light"),
    ("nmbd", "samba"),
    ("nmblookup", "samba-common-bin"),
    ("node", "nodejs"),
    ("openssl", "openssl"),
    ("openvpn", "openvpn"),
    ("pg_ctlcluster", "postgresql"),
    ("ping", "iputils-ping"),
    ("prosody", "prosody"),
    ("psql", "postgresql-client"),
    ("python3", "python3"),
    ("rabbitmq-server", "rabbitmq-server"),
    ("redis-cli", "redis-tools"),
    ("redis-server", "redis-server"),
    ("rtmpdump", "rtmpdump"),
    ("selfserv", "libnss3-tools"),
    ("setpriv", "util-linux"),
    ("sieve-connect", "sieve-connect"),
    ("slapd", "slapd"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("swanctl", "strongswan-swanctl strongswan-charon libcharon-extra-plugins"),
    ("tcpdump", "tcpdump"),
    ("telnet-ssl", "telnet-ssl"),
    ("tinyproxy", "tinyproxy-bin"),
    ("transmission-cli", "transmission-cli"),
    ("tshark", "tshark"),
    ("turnserver", "coturn"),
    ("udhcpc", "udhcpc"),
    ("unbound", "unbound"),
    ("vsftpd", "vsftpd"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
    ("xfreerdp", "freerdp2-x11"),
    ("xrdp", "xrdp"),
    ("zstd", "zstd"),
];

/// What is no program, by a file that shows that it is there.
const FILES: &[(&str, &str)] = &[
    ("/usr/include/wolfssl/ssl.h", "libwolfssl-dev"),
    ("/usr/lib/dovecot/managesieve", "dovecot-managesieved"),
    ("/usr/lib/nginx/modules/ngx_rtmp_module.so", "libnginx-mod-rtmp"),
    ("/usr/lib/python3/dist-packages/ldap3", "python3-ldap3"),
    ("/usr/lib/python3/dist-packages/proton", "python3-qpid-proton"),
    ("/usr/lib/python3/dist-packages/slixmpp", "python3-slixmpp"),
    ("/usr/share/java/okhttp.jar", "libokhttp-java"),
];

/// Written into the environment's folder once it is complete: the requirements that it was made from.
const STAMP: &str = "requirements.txt";

fn captures(words: &[String]) -> anyhow::Result<()> {
    match words {
        [option] if option == "--check" => check(),
        [option] if matches!(option.as_str(), "--index" | "--list") => {
            run(recipes(Path::new("python3")).arg(option.trim_start_matches('-')))
        }
        names => match names.iter().find(|word| word.starts_with('-')) {
            Some(word) => Err(unknown_word(&TASK, word)),
            None => record(names),
        },
    }
}

fn check() -> anyhow::Result<()> {
    run(cargo().args(["test", "--quiet", "--package", "observer-captures"]))?;
    if find_program("python3").is_none() {
        eprintln!("No python3 here: that the manifest equals the recipes was not checked.");
        return Ok(());
    }
    run(recipes(Path::new("python3")).arg("check"))
}

fn record(names: &[String]) -> anyhow::Result<()> {
    let is_root = output(&mut program("id", &["-u"])).is_some_and(|id| id.trim() == "0");
    ensure!(is_root, "recording makes network namespaces: run this task as root");
    install_programs()?;
    let python = environment()?;
    run(recipes(&python).arg("record").args(names))
}

fn install_programs() -> anyhow::Result<()> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .flat_map(|(_, packages)| packages.split_whitespace())
        .collect();
    if !succeeds(&mut program("/usr/bin/python3", &["-c", "import ensurepip"])) {
        packages.push("python3-venv");
    }
    for (file, package) in FILES {
        if !Path::new(file).exists() {
            packages.push(package);
        }
    }
    if packages.is_empty() {
        return Ok(());
    }
    if find_program("apt-get").is_none() {
        bail!("recording is written for Debian; on this system, install: {}", packages.join(" "));
    }
    run(&mut program("apt-get", &["update", "--quiet"]))?;
    let mut install = program("env", &["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--quiet"]);
    run(install.args(["--yes", "--no-install-recommends"]).args(packages))
}

/// The Python of an environment that holds the recipes' requirements; made when it is not there.
fn environment() -> anyhow::Result<PathBuf> {
    let folder = folder().join("venv");
    let python = folder.join("bin/python");
    let requirements = root().join("captures/recipes").join(STAMP);
    let wanted = fs::read(&requirements).with_context(|| format!("reading {}", requirements.display()))?;
    if fs::read(folder.join(STAMP)).is_ok_and(|present| present == wanted) {
        return Ok(python);
    }
    run(program("/usr/bin/python3", &["-m", "venv", "--clear"]).arg(&folder))?;
    run(program(&python, &["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements))?;
    fs::write(folder.join(STAMP), wanted).with_context(|| format!("writing to {}", folder.display()))?;
    Ok(python)
}

/// What recording keeps between runs: the Python environment, and the keys of the lab's authority.
fn folder() -> PathBuf {
    target_dir().join("recorder")
}

/// The recipes' own command line.
fn recipes(python: &Path) -> Command {
    let mut command = program(python, &["-B", "-m", "recipes"]);
    command.current_dir(root().join("captures")).env("RECORDER_DIR", folder());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_listed_once_in_order() {
        assert!(PROGRAMS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_recipes_say_what_python_packages_they_need() {
        assert!(root().join("captures/recipes").join(STAMP).is_file());
    }
}
