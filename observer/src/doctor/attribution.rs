//! What `--attribution auto` makes of the answers.

use serde::Serialize;

use super::{Answer, Capability};

/// The methods that a capture takes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// `ebpf`, `sock_diag` and `procfs`, as `--attribution` takes them, the strongest first; none at all, if nothing works.
    pub methods: Vec<&'static str>,
    /// Why no better one.
    pub reason: String,
}

/// What a capture amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Frames, and the owner of every flow.
    Full,
    /// Frames, but owners by polling or not at all.
    Degraded,
    /// No frames.
    None,
}

/// What takes a kernel program to attribute flows: all of the first, and one of the second.
const EBPF: (&[&str], &[&str]) =
    (&["bpf.map", "bpf.classifier", "bpf.owner", "bpf.programs"], &["bpf.clsact", "bpf.tcx"]);

pub(super) fn choose(capabilities: &[Capability]) -> Choice {
    let missing = |ids: &[&'static str]| ids.iter().copied().find(|id| !works(capabilities, id));
    let (all, one) = EBPF;
    let no_hook = || one.iter().all(|id| !works(capabilities, id)).then_some("bpf.clsact");
    let lacking = missing(all).or_else(no_hook);
    let mut methods = Vec::new();
    let mut reasons = Vec::new();
    match lacking {
        None => {
            methods.push("ebpf");
            let place = if works(capabilities, "bpf.tcx") { "tcx" } else { "tc clsact" };
            reasons.push(format!("a kernel program at {place} sees the first packet of every flow"));
        }
        Some(id) => reasons.push(format!("no kernel program ({})", why(capabilities, id))),
    }
    let lists = ["sockets.sock_diag", "sockets.proc_net"];
    match lists.iter().position(|id| works(capabilities, id)) {
        Some(place) => {
            methods.push(if place == 0 { "sock_diag" } else { "procfs" });
            if place > 0 {
                reasons.push(format!("no sock_diag ({})", why(capabilities, "sockets.sock_diag")));
            }
            reasons.push(match lacking {
                None => "lists of sockets have those that were open before".to_owned(),
                Some(_) => "sockets are polled, short flows may be missed".to_owned(),
            });
        }
        None => reasons.push("lists of sockets are closed to this user".to_owned()),
    }
    Choice { methods, reason: reasons.join("; ") }
}

pub(super) fn extent(capabilities: &[Capability], choice: &Choice) -> Extent {
    if !works(capabilities, "capture.packet_socket") || !works(capabilities, "capture.libpcap") {
        Extent::None
    } else if choice.methods.contains(&"ebpf") {
        Extent::Full
    } else {
        Extent::Degraded
    }
}

fn find<'a>(capabilities: &'a [Capability], id: &str) -> Option<&'a Capability> {
    capabilities.iter().find(|capability| capability.id == id)
}

/// A probe that could not try is trusted: the capture itself finds out.
fn works(capabilities: &[Capability], id: &str) -> bool {
    find(capabilities, id)
        .is_some_and(|capability| matches!(capability.answer, Answer::Yes { .. } | Answer::Unknown { .. }))
}

/// Why a capability is not there.
fn why(capabilities: &[Capability], id: &str) -> String {
    match find(capabilities, id) {
        Some(Capability { name, answer: Answer::No { errno, reason, .. }, .. }) => {
            let errno = errno.as_deref().map(|errno| format!("{errno}, ")).unwrap_or_default();
            format!("{name}: {errno}{reason}")
        }
        Some(capability) => format!("{} is not there", capability.name),
        None => format!("{id} was not asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PROBES, Topic};
    use super::*;

    /// Capabilities that all work but for `broken`.
    fn all_but(broken: &[&str]) -> Vec<Capability> {
        PROBES
            .iter()
            .map(|probe| {
                let answer = if broken.contains(&probe.id) {
                    Answer::No {
                        errno: Some("EPERM".to_owned()),
                        reason: "needs root".to_owned(),
                        cost: "much",
                    }
                } else {
                    Answer::yes("")
                };
                Capability { id: probe.id, name: probe.name, topic: Topic::Bpf, answer, items: Vec::new() }
            })
            .collect()
    }

    fn chosen(broken: &[&str]) -> (String, Extent) {
        let capabilities = all_but(broken);
        let choice = choose(&capabilities);
        (choice.methods.join(" "), extent(&capabilities, &choice))
    }

    #[test]
    fn every_probe_that_is_asked_about_exists() {
        let (all, one) = EBPF;
        let others = ["sockets.sock_diag", "sockets.proc_net", "capture.packet_socket", "capture.libpcap"];
        for id in all.iter().chain(one).chain(&others) {
            assert!(PROBES.iter().any(|probe| probe.id == *id), "{id}");
        }
    }

    #[test]
    fn the_strongest_that_works_is_chosen() {
        let expect = |broken: &[&str], methods: &str, extent: Extent| {
            assert_eq!(chosen(broken), (methods.to_owned(), extent), "{broken:?}");
        };
        expect(&[], "ebpf sock_diag", Extent::Full);
        expect(&["bpf.tcx", "bpf.btf", "bpf.ring_buffer"], "ebpf sock_diag", Extent::Full);
        expect(&["bpf.clsact", "sockets.sock_diag"], "ebpf procfs", Extent::Full);
        expect(&["bpf.clsact", "bpf.tcx"], "sock_diag", Extent::Degraded);
        expect(&["bpf.programs"], "sock_diag", Extent::Degraded);
        expect(&["bpf.map"], "sock_diag", Extent::Degraded);
        expect(&["bpf.owner", "sockets.sock_diag"], "procfs", Extent::Degraded);
        expect(&["bpf.classifier", "sockets.sock_diag", "sockets.proc_net"], "", Extent::Degraded);
        assert_eq!(chosen(&["capture.packet_socket"]).1, Extent::None);
    }

    #[test]
    fn the_reason_names_what_is_lacking() {
        let reason = choose(&all_but(&["bpf.classifier"])).reason;
        assert!(
            reason.starts_with("no kernel program (bpf() loads programs: EPERM, needs root);"),
            "{reason}"
        );
    }
}
