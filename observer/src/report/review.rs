//! What differs between two runs, in words, in Markdown and in JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::markdown::escaped;
use super::outcome::Outcome;
use super::stored::endpoint;
use super::wording::{cl_mss, count, number, title};
use super::{LONGEST, SCHEMA};
use crate::assess::review::{AppReview, Change, Kind, Review, Side, Sign};

/// Changes of an app that are shown to people; JSON has all of them.
pub(super) const SHOWN: usize = 100;

impl Review {
    /// What it comes to: what got worse goes before every doubt, as findings do.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.worse, self.doubts.first()) {
            (1.., _) => Outcome::Findings(self.worse),
            (0, Some(_)) => Outcome::Inconclusive(self.doubts.join("; ")),
            (0, None) => Outcome::Clean,
        }
    }
}

/// The outcome: a word and a sentence.
pub(super) fn headline(review: &Review) -> (&'static str, String) {
    let changes = count(review.changed, "change");
    match review.outcome() {
        Outcome::Findings(worse) => ("WORSE", format!("{} of {changes} made it worse", number(worse))),
        Outcome::Inconclusive(_) => ("INCONCLUSIVE", format!("nothing got worse as far as seen; {changes}")),
        Outcome::Clean => ("NOTHING GOT WORSE", changes),
    }
}

/// `a.db, run 3: 25 flows`.
pub(super) fn side(side: &Side) -> String {
    format!("{}, run {}: {}", side.origin.path, side.origin.run, count(side.flows, "flow"))
}

/// How an app is called.
pub(super) fn name(app: &AppReview) -> &str {
    app.app.as_deref().unwrap_or("Traffic without an owner")
}

/// The changes that are told one by one, and those of verdicts on other standards than CL MSS in a sentence.
pub(super) fn told(app: &AppReview) -> (Vec<&Change>, Option<String>) {
    let (others, told): (Vec<&Change>, Vec<&Change>) = app.changes.iter().partition(|change| {
        change.kind == Kind::Verdict && change.name.as_deref().and_then(cl_mss).is_none()
    });
    let worse = others.iter().filter(|change| change.worse).count();
    let many = u64::try_from(others.len()).unwrap_or(u64::MAX);
    let sentence = format!("{} on other standards changed, {worse} to violated", count(many, "verdict"));
    (told, (!others.is_empty()).then_some(sentence))
}

/// `+`, `-` or `~`.
pub(super) fn sign(change: &Change) -> &'static str {
    match change.sign {
        Sign::Added => "+",
        Sign::NotSeen => "-",
        Sign::Changed => "~",
    }
}

/// A change in a sentence, as it was told: names in it are whatever their owners made them.
pub(super) fn sentence(change: &Change) -> String {
    let (before, after) = (change.before.join(", "), change.after.join(", "));
    let text = match (change.kind, change.sign) {
        (Kind::ClientCertificate, _) => {
            let states = format!("{before} → {after}").replace('_', " ");
            format!("{} client certificate: {states}", far_end(change))
        }
        (Kind::App, Sign::Added) => "the app is new".to_owned(),
        (Kind::App, _) => "the app was not exercised".to_owned(),
        (Kind::Verdict, _) => {
            let name = change.name.as_deref().unwrap_or_default();
            let what = cl_mss(name).map_or(name.to_owned(), |row| format!("{row} {}", title(row)));
            match before.is_empty() {
                true => format!("{what}: {after}"),
                false => format!("{what}: {before} → {after}"),
            }
        }
        (Kind::Finding, _) => finding(change),
        (Kind::Endpoint, Sign::NotSeen) => format!("{} was not exercised (was {before})", far_end(change)),
        (Kind::Endpoint, _) => format!("{} {after}", far_end(change)),
        (kind, _) => format!("{} {}: {before} → {after}", far_end(change), aspect(kind)),
    };
    match &change.note {
        Some(note) => format!("{text}; {note}"),
        None => text,
    }
}

fn finding(change: &Change) -> String {
    let rule = change.name.as_deref().unwrap_or_default();
    let severity = |said: &[String]| said.first().map(|word| word.to_uppercase()).unwrap_or_default();
    let shown = if change.after.is_empty() { &change.before } else { &change.after };
    let message = shown.get(1).map(String::as_str).unwrap_or_default();
    let (before, after) = (severity(&change.before), severity(&change.after));
    let severity = match change.sign {
        Sign::Changed if before != after => format!("{before} → {after}"),
        _ => severity(shown),
    };
    format!("{severity} {rule} at {}: {message}", far_end(change))
}

/// `shop.test:443`, with the transport where it is not TCP.
fn far_end(change: &Change) -> String {
    let name = endpoint(change.host.as_deref().unwrap_or_default(), change.port);
    match change.transport.as_deref() {
        None | Some("tcp") => name,
        Some(transport) => format!("{name} ({transport})"),
    }
}

fn aspect(kind: Kind) -> &'static str {
    match kind {
        Kind::App | Kind::Endpoint | Kind::Finding | Kind::Verdict => "",
        Kind::Certificate => "certificate",
        Kind::Cipher => "cipher suite",
        Kind::ClientCertificate => "client certificate",
        Kind::Curve => "group",
        Kind::NextProtocol => "ALPN",
        Kind::Protection => "protection",
        Kind::Protocol => "protocol",
        Kind::TlsVersion => "version",
    }
}

/// `left out: 3 changes`, for each kind.
pub(super) fn left_out(review: &Review) -> Vec<String> {
    review.left_out.iter().map(|(what, many)| format!("left out, {what}: {}", number(*many))).collect()
}

/// Writes it as one JSON object.
///
/// # Errors
/// Those of `out`.
pub fn render_json(review: &Review, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Record<'a> {
        r#type: &'static str,
        schema: &'static str,
        outcome: &'static str,
        #[serde(flatten)]
        review: &'a Review,
    }
    let outcome = match review.outcome() {
        Outcome::Clean => "nothing_worse",
        Outcome::Findings(_) => "worse",
        Outcome::Inconclusive(_) => "inconclusive",
    };
    serde_json::to_writer(&mut *out, &Record { r#type: "review", schema: SCHEMA, outcome, review })?;
    writeln!(out)
}

/// Writes it as a comment on a pull request.
///
/// # Errors
/// Those of `out`.
pub fn render_markdown(review: &Review, out: &mut dyn Write) -> io::Result<()> {
    let (word, sentence) = headline(review);
    let mut text = format!("## observer: {word}: {}\n\n", escaped(&sentence));
    for (what, one) in [("Before", &review.before), ("After", &review.after)] {
        text.push_str(&format!("- {what}: {}\n", escaped(&side(one))));
    }
    text.push_str(&format!("- {} in both\n", count(review.common_endpoints, "far end")));
    for doubt in &review.doubts {
        text.push_str(&format!("- Inconclusive: {}\n", escaped(doubt)));
    }
    for note in review.notes.iter().cloned().chain(left_out(review)) {
        text.push_str(&format!("- Note: {}\n", escaped(&note)));
    }
    let mut hidden = 0_u64;
    for app in &review.apps {
        let section = section(app);
        if text.len().saturating_add(section.len()) > LONGEST {
            hidden = hidden.saturating_add(1);
        } else {
            text.push_str(&section);
        }
    }
    if hidden > 0 {
        text.push_str(&format!("\nToo long for a comment: {} left out.\n", count(hidden, "app")));
    }
    out.write_all(text.as_bytes())
}

fn section(app: &AppReview) -> String {
    let mut text = format!("\n### {}\n\n| | | change |\n| --- | --- | --- |\n", escaped(name(app)));
    let (told, others) = told(app);
    for change in told.iter().take(SHOWN) {
        let worse = if change.worse { "**WORSE**" } else { "" };
        text.push_str(&format!("| `{}` | {worse} | {} |\n", sign(change), escaped(&sentence(change))));
    }
    text.extend(others.map(|sentence| format!("| `~` | | {} |\n", escaped(&sentence))));
    let more = u64::try_from(told.len().saturating_sub(SHOWN)).unwrap_or(u64::MAX);
    if more > 0 {
        text.push_str(&format!("\nand {} more\n", count(more, "change")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::baseline::Weight;
    use crate::assess::review::{Aspect, Endpoint, FindingState, Reviewer};
    use crate::report::text;
    use crate::rules::Severity;

    const HOSTILE: &str = "a|b</td><script>alert(1)</script>`c`\u{1b}[2J\u{202e}\n@team #1";

    fn hostile() -> Review {
        let text = || HOSTILE.to_owned();
        let mut reviewer = Reviewer::new(Some(Severity::High));
        reviewer.app(Some(HOSTILE), 1, 1);
        let finding = FindingState {
            rule: text(),
            severity: Severity::High,
            weight: Weight::Held,
            app: Some(text()),
            host: text(),
            port: 80,
            message: text(),
        };
        reviewer.finding(None, Some(finding));
        let mut endpoint = Endpoint { port: Some(443), transport: text(), ..Endpoint::default() };
        endpoint.values.entry(Aspect::NextProtocol).or_default().insert(text());
        let mut other = endpoint.clone();
        other.values.entry(Aspect::NextProtocol).or_default().insert("h2".to_owned());
        reviewer.endpoints(Some(HOSTILE), HOSTILE, &[endpoint], &[other]);
        let mut side = Side { inconclusive: Some(text()), ..Side::default() };
        side.origin.path = text();
        reviewer.finish(side, Side::default())
    }

    fn rendered(render: impl FnOnce(&Review, &mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        render(&hostile(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strange_names_mean_nothing_to_readers() {
        let markdown = rendered(render_markdown);
        assert!(!markdown.contains("<script") && !markdown.contains('@'), "{markdown}");
        let rows = markdown.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.map(|row| row.replace("\\|", "").matches('|').count()).collect::<Vec<_>>(), [4, 4]);
        let text = anstream::adapter::strip_str(&rendered(text::render_review)).to_string();
        let is_plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        assert!(text.chars().all(is_plain), "{text:?}");
        assert!(text.starts_with("WORSE: 1 of 2 changes made it worse"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&rendered(render_json)).unwrap();
        assert_eq!((&json["type"], &json["outcome"]), (&"review".into(), &"worse".into()));
        assert_eq!(json["apps"][0]["app"], HOSTILE);
    }

    #[test]
    fn nothing_worse_in_doubt_is_inconclusive() {
        let doubt = Review { doubts: vec!["x".to_owned()], ..Review::default() };
        assert_eq!(doubt.outcome(), Outcome::Inconclusive("x".to_owned()));
        assert_eq!(Review { worse: 1, ..doubt }.outcome(), Outcome::Findings(1));
        assert_eq!(Review::default().outcome(), Outcome::Clean);
    }
}
