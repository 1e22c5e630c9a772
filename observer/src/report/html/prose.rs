//! The explanation of a rule, which is written in a small part of Markdown, in pieces for the page.

/// A part under its own heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) title: String,
    pub(super) pieces: Vec<Piece>,
}

/// Text, or a link where there is a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) url: String,
}

/// The parts of `explanation`, each begun by a line `## title`.
pub(super) fn parts(explanation: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for part in explanation.split("## ").skip(1) {
        let (title, body) = part.split_once('\n').unwrap_or((part, ""));
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "");
        parts.push(Part { title: title.trim().to_owned(), pieces: pieces(&body) });
    }
    parts
}

fn pieces(mut body: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut piece = |text: &str, url: &str| {
        if !text.is_empty() {
            pieces.push(Piece { text: text.to_owned(), url: url.to_owned() });
        }
    };
    while let Some((before, text, url, after)) = link(body) {
        piece(before, "");
        piece(text, url);
        body = after;
    }
    piece(body, "");
    pieces
}

/// The first `[text](https://…)`: what stands before it, its text, its URL and what follows.
fn link(body: &str) -> Option<(&str, &str, &str, &str)> {
    let (start, rest) = body.split_once("](")?;
    let (before, text) = start.rsplit_once('[')?;
    let (url, after) = rest.split_once(')')?;
    url.starts_with("https://").then_some((before, text, url, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    #[test]
    fn an_explanation_falls_into_parts_and_links() {
        let text = "\n## One\nA `b`\n c, see [RFC 1 §2](https://x.example/1#2), [3](https://y.example).\n## Two\nd\n";
        let parts = parts(text);
        assert_eq!(parts.iter().map(|part| part.title.as_str()).collect::<Vec<_>>(), ["One", "Two"]);
        let piece = |text: &str, url: &str| Piece { text: text.to_owned(), url: url.to_owned() };
        assert_eq!(
            parts[0].pieces,
            [
                piece("A b c, see ", ""),
                piece("RFC 1 §2", "https://x.example/1#2"),
                piece(", ", ""),
                piece("3", "https://y.example"),
                piece(".", ""),
            ]
        );
        assert_eq!(parts[1].pieces, [piece("d", "")]);
    }

    #[test]
    fn every_rule_has_its_four_parts() {
        for rule in RULES.iter().map(|rule| rule.info()) {
            let titles: Vec<_> = parts(rule.explanation).into_iter().map(|part| part.title).collect();
            assert_eq!(
                titles,
                ["What it observes", "Fails when", "Blind spots", "References"],
                "{}",
                rule.id
            );
        }
    }
}
