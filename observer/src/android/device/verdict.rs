//! What can be done with a device, and what is in the way of the rest.

use serde::Serialize;

use super::Device;
use super::root::Root;

/// The first release whose adbd tells outputs apart: Android 7.
const SHELL_V2_RELEASE: &str = "Android 7";
/// The first kernel with a ring buffer, which the kernel program writes to.
const RING_BUFFER: (u32, u32) = (5, 8);
/// The first kernel with `bpf_get_socket_uid`.
const SOCKET_UID: (u32, u32) = (4, 12);

/// One thing, and whether the device can do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Stable name, e.g. `agent`.
    pub id: &'static str,
    /// What it is, for a person.
    pub name: &'static str,
    /// Whether it works.
    pub works: bool,
    /// How it works; or why it does not, and what to do about it: one sentence.
    pub text: String,
}

/// What an observation of the device amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Everything that apps send, with its owners.
    Full,
    /// Less than that: without owners, or from the host alone.
    Degraded,
    /// Nothing.
    None,
}

/// What the device can do, as far as its facts tell; the agent tries it for itself when it starts (`observer doctor`).
#[must_use]
pub fn verdicts(device: &Device) -> Vec<Verdict> {
    vec![
        started(device),
        agent(device),
        root(device),
        ebpf(device),
        packages(device),
        steps(device),
        host(device),
    ]
}

/// What follows from the verdicts.
#[must_use]
pub fn extent(verdicts: &[Verdict]) -> Extent {
    let works = |id: &str| verdicts.iter().any(|verdict| verdict.id == id && verdict.works);
    if ["started", "agent", "root", "ebpf", "packages"].into_iter().all(works) {
        Extent::Full
    } else if works("agent") && works("root") || works("host") {
        Extent::Degraded
    } else {
        Extent::None
    }
}

fn yes(id: &'static str, name: &'static str, text: impl Into<String>) -> Verdict {
    Verdict { id, name, works: true, text: text.into() }
}

fn no(id: &'static str, name: &'static str, text: impl Into<String>) -> Verdict {
    Verdict { id, name, works: false, text: text.into() }
}

fn started(device: &Device) -> Verdict {
    let (id, name) = ("started", "Android runs");
    if device.facts.booted {
        return yes(id, name, "it has started");
    }
    no(id, name, "it has not started yet: wait until `adb shell getprop sys.boot_completed` says 1")
}

fn agent(device: &Device) -> Verdict {
    let (id, name) = ("agent", "the agent runs");
    let facts = &device.facts;
    let Some(architecture) = facts.architecture() else {
        let abis =
            if facts.abis.is_empty() { "an unknown processor".to_owned() } else { facts.abis.join(", ") };
        return no(
            id,
            name,
            format!("there is no agent for {abis}: take a 64-bit device or image, or capture on the host"),
        );
    };
    if !facts.shell_v2 {
        return no(
            id,
            name,
            format!("its adbd has no binary streams, which {SHELL_V2_RELEASE} brought: capture on the host"),
        );
    }
    if !facts.writable {
        return no(id, name, "/data/local/tmp cannot be written to: start it anew, or free its storage");
    }
    yes(id, name, format!("that for {architecture}, in /data/local/tmp"))
}

fn root(device: &Device) -> Verdict {
    let (id, name) = ("root", "root");
    match &device.root {
        Root::Already => yes(id, name, "adbd is root"),
        Root::AdbRoot => yes(id, name, "by `adb root`, which starts adbd anew"),
        Root::SuCommand => yes(id, name, "by `su -c`"),
        Root::SuUser => yes(id, name, "by `su 0`"),
        Root::None { reason } => {
            let remedy = if device.facts.emulator {
                "take an image without Google Play (`google_apis` or `default`)"
            } else if device.facts.su {
                "allow the shell root in the app that manages it"
            } else {
                "take a debug build or an emulator, or root it"
            };
            no(id, name, format!("{reason}: {remedy}"))
        }
    }
}

fn ebpf(device: &Device) -> Verdict {
    let (id, name) = ("ebpf", "owners by eBPF");
    if !device.root.is_there() {
        return no(
            id,
            name,
            "it takes root: without, flows have no owners, or those of lists that the host may read",
        );
    }
    let Some(kernel) = &device.facts.kernel else {
        return no(
            id,
            name,
            "the kernel did not say its release: see what `observer doctor` says on the device",
        );
    };
    match version(kernel) {
        Some(version) if version < SOCKET_UID => no(
            id,
            name,
            format!("kernel {kernel} is older than 4.12: sockets are polled, and short flows may be missed"),
        ),
        Some(version) if version < RING_BUFFER => {
            yes(id, name, format!("kernel {kernel}, by the perf buffer"))
        }
        Some(_) => yes(id, name, format!("kernel {kernel}, by the ring buffer")),
        None => no(
            id,
            name,
            format!("the kernel says `{kernel}` of itself: see what `observer doctor` says on the device"),
        ),
    }
}

fn packages(device: &Device) -> Verdict {
    let (id, name) = ("packages", "uids become packages");
    if device.root.is_there() {
        return yes(id, name, "by packages.list");
    }
    yes(id, name, "by `pm list packages -U`")
}

fn steps(_device: &Device) -> Verdict {
    yes("steps", "test steps", "by logcat, which adb's shell may read")
}

fn host(device: &Device) -> Verdict {
    let (id, name) = ("host", "capture on the host");
    if device.facts.emulator {
        return yes(
            id,
            name,
            "by the emulator's own capture; flows have no owners but those that are polled",
        );
    }
    no(id, name, "its traffic does not pass this machine: let it, by a hotspot, or capture on the device")
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|other: char| !other.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::android::device::Facts;

    fn device(text: &str, root: Root) -> Device {
        let mut facts = Facts::read(text);
        facts.shell_v2 = facts.api_level >= Some(24);
        Device { serial: "S".to_owned(), facts, root }
    }

    const PHONE: &str = "ro.build.version.sdk=33\nro.build.type=user\nro.product.cpu.abilist=arm64-v8a\n\
                         sys.boot_completed=1\nkernel=5.10.149-android13-4\nwritable=yes\n";

    fn no(device: &Device) -> Vec<(&'static str, String)> {
        let verdicts = verdicts(device).into_iter().filter(|verdict| !verdict.works);
        verdicts.map(|verdict| (verdict.id, verdict.text)).collect()
    }

    #[test]
    fn a_rooted_phone_can_all_but_be_captured_on_the_host() {
        let phone = device(PHONE, Root::SuCommand);
        assert_eq!(no(&phone).iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["host"]);
        assert_eq!(extent(&verdicts(&phone)), Extent::Full);
    }

    #[test]
    fn without_root_each_no_has_its_remedy() {
        let none = || Root::None { reason: "it is a user build, and there is no su".to_owned() };
        let phone = device(PHONE, none());
        assert_eq!(no(&phone).iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["root", "ebpf", "host"]);
        assert!(no(&phone)[0].1.ends_with("no su: take a debug build or an emulator, or root it"));
        assert_eq!(extent(&verdicts(&phone)), Extent::None);

        let image = device(&format!("{PHONE}ro.boot.qemu=1\n"), none());
        assert!(no(&image)[0].1.contains("without Google Play"), "{:?}", no(&image));
        assert_eq!(extent(&verdicts(&image)), Extent::Degraded);
        for (_, text) in no(&image) {
            assert!(text.contains(": "), "reason and remedy: {text}");
        }
    }

    #[test]
    fn old_kernels_and_processors_are_named() {
        let old = device(
            "ro.build.version.sdk=23\nro.product.cpu.abilist=armeabi-v7a\nkernel=3.4.0-g1\n",
            Root::Already,
        );
        let no = no(&old);
        let text = |id: &str| {
            no.iter().find(|(found, _)| *found == id).map(|(_, text)| text.as_str()).unwrap_or_default()
        };
        assert!(text("agent").contains("armeabi-v7a"));
        assert!(text("ebpf").contains("older than 4.12"));
        assert!(text("started").contains("boot_completed"));
        assert_eq!(version("5.10.66-android12"), Some((5, 10)));
        assert_eq!(version("6"), None);
        assert_eq!(version("not a number"), None);
    }
}
