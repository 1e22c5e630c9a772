//! The direction between the observer's modules.

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
    "observation",
    "policy",
    "rules",
    "assess",
    "report",
    "store",
    "pipeline",
    "cli",
];

/// Edges that are narrower or wider than the order: of the second module, the first may use these items and no other.
const ITEMS: &[(&str, &str, &[&str])] = &[
    // Analyzers see a flow's bytes, not the table that it lies in.
    (
        "protocol",
        "flow",
        &["Assembler", "Data", "Direction", "FlowInfo", "FlowLimits", "Gap", "Interest", "assembler"],
    ),
    // The list that analyzers write into.
    ("protocol", "observation", &["Observation", "Observations"]),
];

/// Modules that do not use each other although the order allows it.
const APART: &[(&str, &str, &str)] = &[
    ("attribution", "protocol", "who owns a flow does not depend on what it says"),
    ("rules", "bytes", "a rule sees facts, never bytes"),
];

/// One protocol may use another only here: the user, and the module it may use.
const SIDEWAYS: &[(&str, &str)] = &[("quic", "tls"), ("dtls", "tls")];

/// Where the observer's modules lie.
const SOURCES: &str = "observer/src/";

/// Checks every file of the observer.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if let Some(path) = file.path.strip_prefix(SOURCES) {
            check_file(file, &module_of(path), &mut problems);
        }
    }
    problems
}

fn check_file(file: &File, module: &[String], problems: &mut Vec<Problem>) {
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
            sideways(module, &used.segments)
        };
        if let Some(reason) = reason {
            let path = used.segments.join("::");
            problems.push(file.problem(used.line, format!("{user} may not use {target} ({path}): {reason}")));
        }
    }
}

/// Why one protocol may not use the other, if so; their folders' shared parts lie in `protocol` itself.
fn sideways(module: &[String], used: &[String]) -> Option<String> {
    let ([parent, user, ..], [target_parent, target, _, ..]) = (module, used) else { return None };
    let between = parent == "protocol" && target_parent == "protocol" && user != target;
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
        assert!(
            problems("observer/src/protocol/quic/wire.rs", "use crate::protocol::tls::wire::X;").is_empty()
        );
        assert!(problems("observer/src/protocol/http1/mod.rs", "use crate::protocol::Analyzer;").is_empty());
        assert!(
            problems("observer/src/protocol/http1/mod.rs", "use crate::protocol::http1::wire::X;").is_empty()
        );
        assert_eq!(
            problems("observer/src/protocol/http1/mod.rs", "use crate::protocol::tls::wire::X;").len(),
            1
        );
        assert_eq!(
            problems("observer/src/protocol/tls/wire.rs", "use super::super::quic::wire::X;").len(),
            1
        );
        assert!(problems("observer/src/protocol/mod.rs", "use crate::protocol::tls::wire::X;").is_empty());
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
