//! The direction between the observer's modules.

use std::collections::BTreeSet;

use super::paths::{module_of, used_paths};
use super::{File, Problem};

/// The modules of `observer/src` from left to right: each may use those above it, and itself.
const ORDER: &[&str] = &[
    "bytes",
    "time",
    "source",
    "decode",
    "flow",
    "protocol",
    "attribution",
    "recording",
    "observation",
    "policy",
    "requirements",
    "trust",
    "rules",
    "assess",
    "report",
    "store",
    "pipeline",
    "live",
    "android",
    "doctor",
    "watch",
    "cli",
];

/// Edges that are narrower or wider than the order: of the second module, the first may use these items and no other.
const ITEMS: &[(&str, &str, &[&str])] = &[
    // Analyzers see a flow's bytes, not the table that it lies in.
    (
        "protocol",
        "flow",
        &[
            "Assembler",
            "Data",
            "Direction",
            "FlowInfo",
            "FlowLimits",
            "Gap",
            "Interest",
            "Opening",
            "Origin",
            "assembler",
        ],
    ),
    // The list that analyzers write into.
    ("protocol", "observation", &["Basis", "Observation", "Observations"]),
];

/// Modules that do not use each other although the order allows it.
const APART: &[(&str, &str, &str)] = &[
    ("attribution", "protocol", "who owns a flow does not depend on what it says"),
    ("recording", "flow", "frames are recorded, not flows"),
    ("recording", "protocol", "what is recorded does not depend on what it says"),
    ("rules", "bytes", "a rule sees facts, never bytes"),
];

/// One protocol may use another only here: the user, and the module it may use.
const SIDEWAYS: &[(&str, &str)] =
    &[("quic", "tls"), ("dtls", "tls"), ("http2", "http1"), ("websocket", "mqtt")];

/// Where the observer's modules lie.
const SOURCES: &str = "observer/src/";

/// Checks every file of the observer.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let observer = || {
        files
            .iter()
            .filter(|file| file.is_rust())
            .filter_map(|file| Some((file, file.path.strip_prefix(SOURCES)?)))
    };
    // A protocol is a folder; the files beside the folders belong to all of them.
    let protocols: BTreeSet<&str> =
        observer().filter_map(|(_, path)| Some(path.strip_prefix("protocol/")?.split_once('/')?.0)).collect();
    for (file, path) in observer() {
        check_file(file, &module_of(path), &protocols, &mut problems);
    }
    problems
}

fn check_file(file: &File, module: &[String], protocols: &BTreeSet<&str>, problems: &mut Vec<Problem>) {
    // The crate's root and the binary declare and start; they stand outside the order.
    let Some(user) = module.first() else { return };
    let Some(user_rank) = rank(user) else {
        problems.push(
            file.problem(1, format!("{user} has no place in the order of modules; give it one in tidy")),
        );
        return;
    };
    for used in used_paths(&file.text, module) {
        let Some(target) = used.segments.first() else { continue };
        let Some(target_rank) = rank(target) else { continue };
        let item = used.segments.get(1).map_or("", String::as_str);
        let reason = if let Some((.., items)) = ITEMS.iter().find(|(a, b, _)| a == user && b == target) {
            (!items.contains(&item)).then(|| format!("of it only {} may be used", items.join(", ")))
        } else if target_rank > user_rank {
            Some("it stands further right in the pipeline".to_owned())
        } else if let Some((.., reason)) = APART.iter().find(|(a, b, _)| a == user && b == target) {
            Some((*reason).to_owned())
        } else {
            sideways(module, &used.segments, protocols)
        };
        if let Some(reason) = reason {
            let path = used.segments.join("::");
            problems.push(file.problem(used.line, format!("{user} may not use {target} ({path}): {reason}")));
        }
    }
}

/// Why one protocol may not use the other, if so.
fn sideways(module: &[String], used: &[String], protocols: &BTreeSet<&str>) -> Option<String> {
    let ([parent, user, ..], [target_parent, target, ..]) = (module, used) else { return None };
    let both = [user, target].iter().all(|name| protocols.contains(name.as_str()));
    let between = parent == "protocol" && target_parent == "protocol" && both && user != target;
    let allowed = SIDEWAYS.iter().any(|(a, b)| a == user && b == target);
    (between && !allowed).then(|| format!("{user} and {target} are protocols of their own"))
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&[file(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn leftwards_is_allowed() {
        assert!(problems("observer/src/decode/ip.rs", "use crate::source::Frame;").is_empty());
        assert!(problems("observer/src/rules/mod.rs", "use crate::observation::Flow;").is_empty());
        assert!(problems("observer/src/pipeline.rs", "use crate::{source, report, store};").is_empty());
        assert!(problems("observer/src/lib.rs", "pub use crate::store::Store;").is_empty());
    }

    #[test]
    fn rightwards_fails_with_file_and_line() {
        let found = problems("observer/src/decode/ip.rs", "//! x\n\nuse crate::flow::key::FiveTuple;\n");
        assert_eq!(
            found,
            [
                "observer/src/decode/ip.rs:3: decode may not use flow (flow::key::FiveTuple): it stands further right in the pipeline"
            ]
        );
        assert_eq!(problems("observer/src/bytes.rs", "fn f() { crate::time::g() }").len(), 1);
        assert_eq!(problems("observer/src/flow/mod.rs", "use super::store::Store;").len(), 1);
        assert_eq!(problems("observer/src/report/text.rs", "use crate::cli::Args;").len(), 1);
    }

    #[test]
    fn analyzers_see_a_flow_s_bytes_and_no_more() {
        let path = "observer/src/protocol/tls/analyzer.rs";
        assert!(problems(path, "use crate::flow::{Direction, Assembler};").is_empty());
        assert_eq!(problems(path, "use crate::flow::{Direction, FlowTable};").len(), 1);
        assert_eq!(problems(path, "use crate::flow;").len(), 1);
        assert!(problems(path, "use crate::observation::Observations;").is_empty());
        assert_eq!(problems(path, "use crate::observation::Flow;").len(), 1);
    }

    #[test]
    fn protocols_keep_to_themselves_but_for_the_named_pairs() {
        let found = |path: &str, text: &str| {
            let folders = ["tls", "quic", "http1"]
                .map(|name| file(&format!("observer/src/protocol/{name}/mod.rs"), ""));
            check(&[folders.as_slice(), &[file(path, text)]].concat()).len()
        };
        assert_eq!(found("observer/src/protocol/quic/wire.rs", "use crate::protocol::tls::wire::X;"), 0);
        assert_eq!(found("observer/src/protocol/http1/wire.rs", "use crate::protocol::Analyzer;"), 0);
        assert_eq!(found("observer/src/protocol/http1/fact.rs", "use crate::protocol::http1::wire::X;"), 0);
        assert_eq!(found("observer/src/protocol/http1/wire.rs", "use crate::protocol::probing::X;"), 0);
        assert_eq!(found("observer/src/protocol/probing.rs", "use crate::protocol::tls::wire::X;"), 0);
        assert_eq!(found("observer/src/protocol/http1/wire.rs", "use crate::protocol::tls::wire::X;"), 1);
        assert_eq!(found("observer/src/protocol/http1/wire.rs", "use crate::protocol::tls;"), 1);
        assert_eq!(found("observer/src/protocol/tls/wire.rs", "use super::super::quic::wire::X;"), 1);
    }

    #[test]
    fn modules_that_stay_apart_fail() {
        assert_eq!(problems("observer/src/attribution/mod.rs", "use crate::protocol::Fact;").len(), 1);
        assert_eq!(problems("observer/src/rules/mod.rs", "use crate::bytes::Reader;").len(), 1);
    }

    #[test]
    fn a_module_without_a_place_fails() {
        let found = problems("observer/src/magic.rs", "");
        assert!(found[0].contains("magic has no place"), "{found:?}");
    }
}
