//! The paths that a Rust file uses inside its own crate.
//!
//! A small lexer drops comments and literals; what remains is read for `use` trees and inline paths that begin with
//! `crate` or `super`. No types and no macros: enough to see which module leans on which.

/// A path inside the crate, with the line on which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsedPath {
    /// The segments after `crate`; a glob ends in `*`.
    pub(super) segments: Vec<String>,
    /// From 1.
    pub(super) line: usize,
}

/// The module path of a file under `src/`, e.g. `protocol/tls/wire.rs` is `["protocol", "tls", "wire"]`.
pub(super) fn module_of(path_in_src: &str) -> Vec<String> {
    let stem = path_in_src.strip_suffix(".rs").unwrap_or(path_in_src);
    let mut segments: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if matches!(segments.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        segments.pop();
    }
    segments
}

/// Every path of `text` that stays in the crate, in order; `module` is the file's own path.
pub(super) fn used_paths(text: &str, module: &[String]) -> Vec<UsedPath> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut scopes = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let word = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        let after_path = at > 0 && tokens.get(at - 1).is_some_and(|before| before.text == "::");
        match token.text.as_str() {
            // `mod name {`: what follows lies one module deeper until its brace closes.
            "mod" if word(2) == "{" => {
                scopes.push(Some(word(1).to_owned()));
                at += 3;
            }
            "{" => {
                scopes.push(None);
                at += 1;
            }
            "}" => {
                scopes.pop();
                at += 1;
            }
            "crate" | "super" if !after_path && word(1) == "::" => {
                let mut base: Vec<String> = Vec::new();
                if token.text == "super" {
                    base.extend(module.iter().cloned());
                    base.extend(scopes.iter().flatten().cloned());
                    base.pop();
                }
                at += 2;
                while tokens.get(at).is_some_and(|t| t.text == "super")
                    && tokens.get(at + 1).is_some_and(|t| t.text == "::")
                {
                    base.pop();
                    at += 2;
                }
                at = read_tree(&tokens, at, &base, &mut found);
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads one use tree or inline path from `at`; returns where it ends.
fn read_tree(tokens: &[Token], mut at: usize, base: &[String], found: &mut Vec<UsedPath>) -> usize {
    let mut segments = base.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while let Some(token) = tokens.get(at) {
                    match token.text.as_str() {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = read_tree(tokens, at, &segments, found).max(at + 1),
                    }
                }
                return at;
            }
            "as" => {
                at += 2;
                break;
            }
            "self" => at += 1,
            "*" => {
                segments.push("*".to_owned());
                at += 1;
                break;
            }
            _ if token.is_word => {
                segments.push(token.text.clone());
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at).is_some_and(|token| token.text == "as") {
            at += 2;
            break;
        }
        if tokens.get(at).is_some_and(|token| token.text == "::") {
            at += 1;
        } else {
            break;
        }
    }
    found.push(UsedPath { segments, line });
    at
}

/// A word, `::`, or a single other character.
struct Token {
    text: String,
    line: usize,
    is_word: bool,
}

/// The tokens of `text` without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let char_at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        match char_at(at) {
            '/' if char_at(at + 1) == '/' => {
                while at < chars.len() && char_at(at) != '\n' {
                    at += 1;
                }
            }
            '/' if char_at(at + 1) == '*' => at = end_of_block_comment(&chars, at),
            '"' => at = end_of_string(&chars, at),
            '\'' => at = end_of_quote(&chars, at),
            c if c.is_alphabetic() || c == '_' => {
                while char_at(at).is_alphanumeric() || char_at(at) == '_' {
                    at += 1;
                }
                let word: String = chars.get(start..at).unwrap_or_default().iter().collect();
                if let Some(end) = end_of_raw_string(&chars, &word, at) {
                    at = end;
                } else {
                    tokens.push(Token { text: word, line, is_word: true });
                }
            }
            ':' if char_at(at + 1) == ':' => {
                tokens.push(Token { text: "::".to_owned(), line, is_word: false });
                at += 2;
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line, is_word: false });
                }
                at += 1;
            }
        }
        line += chars.get(start..at).unwrap_or_default().iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn end_of_block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < chars.len() {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) if depth <= 1 => return at + 2,
            (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a character literal, or of the apostrophe of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let close = chars.iter().skip(at + 3).position(|&c| c == '\'');
            close.map_or(chars.len(), |ahead| at + 3 + ahead + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// The end of a raw string whose prefix is `word`, e.g. `r#"…"#` or `br"…"`.
fn end_of_raw_string(chars: &[char], word: &str, mut at: usize) -> Option<usize> {
    if !matches!(word, "r" | "br" | "cr") {
        return None;
    }
    let mut hashes = 0;
    while chars.get(at) == Some(&'#') {
        (hashes, at) = (hashes + 1, at + 1);
    }
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        let closes =
            chars.get(at) == Some(&'"') && (1..=hashes).all(|ahead| chars.get(at + ahead) == Some(&'#'));
        if closes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(text: &str, module: &str) -> Vec<String> {
        let paths = used_paths(text, &module_of(module));
        paths.into_iter().map(|path| format!("{}@{}", path.segments.join("::"), path.line)).collect()
    }

    #[test]
    fn files_name_their_modules() {
        assert_eq!(module_of("protocol/tls/wire.rs"), ["protocol", "tls", "wire"]);
        assert_eq!(module_of("protocol/tls/mod.rs"), ["protocol", "tls"]);
        assert!(module_of("lib.rs").is_empty());
    }

    #[test]
    fn use_trees_are_read_to_their_leaves() {
        let text = "use std::fmt;\nuse crate::flow::{\n    Direction as D, key::{self, FiveTuple},\n    limits::*,\n};\n";
        let found = used(text, "protocol/dns/mod.rs");
        assert_eq!(
            found,
            ["flow::Direction@3", "flow::key@3", "flow::key::FiveTuple@3", "flow::limits::*@4"]
        );
        assert_eq!(used("use crate::{bytes::Reader, time};", "decode/ip.rs"), ["bytes::Reader@1", "time@1"]);
    }

    #[test]
    fn inline_paths_count_like_imports() {
        let text = "fn f(x: &crate::store::Store<u8>) -> u8 {\n    crate::rules::RULES.len()\n}\n";
        assert_eq!(used(text, "decode/ip.rs"), ["store::Store@1", "rules::RULES@2"]);
        assert_eq!(used("pub(crate) fn f() {}\npub(in crate::flow) struct S;", "flow/key.rs"), ["flow@2"]);
    }

    #[test]
    fn super_is_resolved_from_the_file_and_from_inline_modules() {
        assert_eq!(used("use super::super::tls::wire;", "protocol/quic/wire.rs"), ["protocol::tls::wire@1"]);
        assert_eq!(used("mod tests { use super::*; }", "bytes.rs"), ["bytes::*@1"]);
        let text = "mod a { fn f() { g(); } }\nuse super::time;";
        assert_eq!(used(text, "bytes.rs"), ["time@2"]);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "// crate::store::A\n/* crate::store::B /* crate::store::C */ */\nconst S: &str = \"crate::store::D \\\" crate::store::E\";\n\
                    const R: &str = r#\"crate::store::F \" \"#;\nconst C: char = '\"';\nfn f<'a>(x: &'a str) { crate::time::g('\\'') }";
        assert_eq!(used(text, "decode/ip.rs"), ["time::g@6"]);
    }
}
