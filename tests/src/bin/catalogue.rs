//! Writes the page that lists what the program knows to standard output, from the registries; `cargo xtask catalogue` puts it
//! into its place.
//!
//! What a protocol shows is in the documentation of its module, so that the program reads the sources that it was built from.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use observer::protocol::{PROTOCOLS, Worth};
use observer::requirements::{self, Exercise};
use observer::rules::{self, RULES};

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(render().as_bytes())
}

fn render() -> String {
    let mut out = String::from(
        "# What the observer knows\n\n\
         Written by `cargo xtask catalogue` from the registries of protocols, rules and requirements; do not edit.\n",
    );
    protocols(&mut out);
    all_rules(&mut out);
    all_requirements(&mut out);
    out
}

/// Protocols, with what their module says that it reads.
fn protocols(out: &mut String) {
    out.push_str(
        "\n## Protocols\n\nRecognised by bytes, never by port. Worth: what somebody who listens gets. `cleartext`: everything; \
         `tls`: what the handshake\nshows; `opaque`: nothing, but it does not count as TLS; `carrier`: what it carries \
         decides.\n\n| layer | over | worth | what is read | what is not, and how far it is believed |\n|---|---|---|---|---|\n",
    );
    for protocol in PROTOCOLS {
        let over: Vec<String> =
            protocol.transports.iter().map(|transport| format!("{transport:?}").to_lowercase()).collect();
        let worth = match protocol.worth {
            Worth::Cleartext => "cleartext",
            Worth::Tls => "tls",
            Worth::Opaque => "opaque",
            Worth::Carrier => "carrier",
        };
        let (read, not) = about(protocol.name);
        row(out, &[&format!("`{}`", protocol.name), &over.join(", "), worth, &cell(&read), &cell(&not)]);
    }
}

/// What the module that declares the layer `name` says of itself: its first paragraph, and what it does not do.
fn about(name: &str) -> (String, String) {
    let folder = observer_captures::root().join("../observer/src/protocol");
    let mut modules: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the protocols")
        .map(|entry| entry.expect("an entry").path().join("mod.rs"))
        .filter(|path| path.is_file())
        .collect();
    modules.sort();
    modules.insert(0, folder.join(name).join("mod.rs"));
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let quoted = format!("\"{name}\"");
    let module = modules.iter().map(text).find(|text| text.contains(&quoted)).unwrap_or_default();
    let lines: Vec<&str> = module.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty() || line.starts_with('#'));
    let mut paragraphs = paragraphs.map(|lines| lines.join(" ")).filter(|text| !text.is_empty());
    let first = paragraphs.next().unwrap_or_default();
    let rest: Vec<String> = paragraphs.collect();
    let rest = rest.join(" ");
    let denies =
        |sentence: &&str| [" not ", " never ", " no ", "nothing "].iter().any(|word| sentence.contains(word));
    let denied: Vec<&str> = rest.split_inclusive(". ").map(str::trim).filter(denies).collect();
    (first, denied.join(" "))
}

/// Rules, with when they fail and what they cannot see.
fn all_rules(out: &mut String) {
    out.push_str(
        "\n## Rules\n\nSeverity is that of the gravest finding. `observer rules explain RULE` says more.\n\n\
         | rule | severity | fails when | cannot see | bears on |\n|---|---|---|---|---|\n",
    );
    for rule in RULES.iter().map(|rule| rule.info()) {
        let part = |heading: &str| cell(section(rule.explanation, heading));
        let bears: Vec<String> = rule.requirements.iter().map(|id| format!("`{id}`")).collect();
        row(
            out,
            &[
                &format!("`{}`", rule.id),
                rule.severity.as_str(),
                &part("Fails when"),
                &part("Blind spots"),
                &bears.join(", "),
            ],
        );
    }
}

/// The text under a heading of a rule's explanation.
fn section<'a>(explanation: &'a str, heading: &str) -> &'a str {
    let Some((_, after)) = explanation.split_once(&format!("## {heading}\n")) else { return "" };
    after.split("\n ## ").next().unwrap_or(after).split("\n## ").next().unwrap_or_default()
}

/// Requirements by standard, with how traffic bears on them and what to check instead.
fn all_requirements(out: &mut String) {
    out.push_str("\n## Requirements\n\nThe gist is in our own words; the standards' texts hold.\n");
    for standard in requirements::standards() {
        write!(out, "\n### {} ({})\n\n", standard.name, standard.version).expect("a string takes all");
        out.push_str("| requirement | level | gist | what traffic shows | what it cannot show: check instead | rules |\n");
        out.push_str("|---|---|---|---|---|---|\n");
        for requirement in requirements::all().filter(|requirement| requirement.standard == standard) {
            let rules: Vec<String> =
                rules::bearing_on(requirement.id).map(|rule| format!("`{}`", rule.id)).collect();
            let rules = match (rules.is_empty(), requirement.exercise) {
                (true, Exercise::None) => "not observable".to_owned(),
                _ => rules.join(", "),
            };
            row(
                out,
                &[
                    &format!("`{}`", requirement.id),
                    requirement.level,
                    &cell(requirement.gist),
                    &cell(requirement.bearing),
                    &cell(requirement.instead),
                    &rules,
                ],
            );
        }
    }
}

fn row(out: &mut String, cells: &[&str]) {
    writeln!(out, "| {} |", cells.join(" | ")).expect("a string takes all");
}

/// Text on one line, without what ends a cell and without links to items.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|").replace("[`", "`").replace("`]", "`")
}
