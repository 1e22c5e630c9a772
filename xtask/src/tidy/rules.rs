//! The shape of a rule: one file, one registry line, four headings.

use super::{File, Problem};

/// Where the rules lie, a folder a requirement.
const FOLDER: &str = "observer/src/rules/";

/// The file that holds the registry.
const REGISTRY: &str = "observer/src/rules/mod.rs";

/// The headings of a rule's help text, in their order.
const HEADINGS: [&str; 4] = ["## What it observes", "## Fails when", "## Blind spots", "## References"];

/// Checks every rule file against the registry.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let rules: Vec<&File> = files.iter().filter(|file| is_rule(&file.path)).collect();
    let registry = files.iter().find(|file| file.path == REGISTRY);
    let registered = registry.map(|file| registered(&file.text)).unwrap_or_default();
    let mut declared = Vec::new();
    for file in rules {
        match declarations(file).as_slice() {
            [] => problems
                .push(file.problem(1, "a file in a rules folder declares one rule, this declares none")),
            [(line, name)] => {
                if !registered.contains(name) {
                    problems.push(file.problem(*line, format!("{name} is not in RULES of {REGISTRY}")));
                }
                declared.push(name.clone());
            }
            [_, (line, name), ..] => {
                problems.push(file.problem(*line, format!("{name} is a second rule; give it its own file")));
            }
        }
        problems.extend(headings(file));
    }
    if let Some(file) = registry {
        for name in registered.iter().filter(|name| !declared.contains(name)) {
            let line =
                file.lines().find(|(_, line)| line.contains(name.as_str())).map_or(1, |(number, _)| number);
            problems.push(file.problem(line, format!("{name} is registered, but no rule file declares it")));
        }
    }
    problems
}

/// Whether the path is `rules/GROUP/NAME.rs`, but not a group's `mod.rs`.
fn is_rule(path: &str) -> bool {
    let Some(("", rest)) = path.split_once(FOLDER) else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    matches!(parts.as_slice(), [_, name] if name.ends_with(".rs") && *name != "mod.rs")
}

/// The last path segments of the entries of `RULES`.
fn registered(text: &str) -> Vec<String> {
    let Some((_, after)) = text.split_once(" RULES:") else { return Vec::new() };
    let Some((_, list)) = after.split_once('=') else { return Vec::new() };
    let list = list.split(';').next().unwrap_or_default();
    let entries = list.lines().map(|line| line.split("//").next().unwrap_or_default());
    let entries = entries.flat_map(|line| line.split(','));
    let names = entries.filter_map(|entry| {
        let path = entry.trim().trim_matches(|c: char| "[]&".contains(c)).trim();
        let name = path.rsplit("::").next().unwrap_or_default();
        name.chars().next().is_some_and(|first| first.is_ascii_uppercase()).then(|| name.to_owned())
    });
    names.collect()
}

/// The rules that a file declares: the line of the name, and the name.
fn declarations(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in file.lines() {
        let line = line.trim();
        if line.starts_with("declare_rule!") {
            inside = true;
        } else if inside && !line.is_empty() && !line.starts_with("//") && !line.starts_with('#') {
            let name = line.strip_prefix("pub ").unwrap_or(line);
            found.push((number, name.chars().take_while(|c| c.is_alphanumeric()).collect()));
            inside = false;
        }
    }
    found
}

/// The headings that a rule's doc comment lacks or has in another order.
fn headings(file: &File) -> Vec<Problem> {
    let mut seen: Vec<(usize, &str)> = Vec::new();
    for (number, line) in file.lines() {
        if let Some(heading) = line.trim().strip_prefix("/// ").filter(|text| text.starts_with("## ")) {
            seen.push((number, heading.trim()));
        }
    }
    let line = seen.first().map_or(1, |(number, _)| *number);
    let lacking = HEADINGS.iter().filter(|heading| !seen.iter().any(|(_, text)| text == *heading));
    let mut problems: Vec<Problem> = lacking
        .map(|heading| file.problem(line, format!("the rule's documentation lacks `{heading}`")))
        .collect();
    for (number, text) in seen.iter().filter(|(_, text)| !HEADINGS.contains(text)) {
        problems.push(file.problem(*number, format!("`{text}` is none of the four headings of a rule")));
    }
    if problems.is_empty() && !seen.iter().map(|(_, text)| *text).eq(HEADINGS) {
        problems
            .push(file.problem(line, format!("the headings stand in this order, once each: {HEADINGS:?}")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    const GOOD: &str = "//! x\ndeclare_rule! {\n    /// ## What it observes\n    /// a\n    /// ## Fails when\n    /// b\n    \
                        /// ## Blind spots\n    /// c\n    /// ## References\n    /// d\n    CleartextHttp {\n id: \"cleartext-http\",\n }\n}\n";
    const RULES: &str =
        "pub static RULES: &[&dyn Rule] = &[\n    // by group\n    &tls_everywhere::CleartextHttp,\n];\n";
    const PATH: &str = "observer/src/rules/tls_everywhere/cleartext_http.rs";

    fn problems(rule: &str, rules: &str) -> Vec<String> {
        let files =
            [file(PATH, rule), file(REGISTRY, rules), file("observer/src/rules/tls_everywhere/mod.rs", "")];
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_rule_passes() {
        assert_eq!(problems(GOOD, RULES), Vec::<String>::new());
        assert_eq!(problems(GOOD, "static RULES: &[&dyn Rule] = &[&CleartextHttp];"), Vec::<String>::new());
    }

    #[test]
    fn an_unregistered_rule_fails_and_so_does_a_registered_ghost() {
        let found = problems(GOOD, "static RULES: &[&dyn Rule] = &[&a::Ghost];");
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], format!("{PATH}:11: CleartextHttp is not in RULES of {REGISTRY}"));
        assert!(found[1].contains("Ghost is registered"));
        assert!(
            problems(GOOD, "static RULES: &[&dyn Rule] = &[\n // &a::CleartextHttp\n];")[0]
                .contains("not in RULES")
        );
    }

    #[test]
    fn a_missing_misplaced_or_foreign_heading_fails() {
        assert!(
            problems(&GOOD.replace("## Blind spots", "Blind spots"), RULES)[0]
                .contains("lacks `## Blind spots`")
        );
        let swapped = GOOD.replace("## Fails when", "## T").replace("## Blind spots", "## Fails when");
        assert!(problems(&swapped.replace("## T", "## Blind spots"), RULES)[0].contains("in this order"));
        assert!(problems(&GOOD.replace("/// d\n", "/// ## Extra\n"), RULES)[0].contains("none of the four"));
    }

    #[test]
    fn one_file_holds_one_rule() {
        assert!(problems("//! x\n", RULES)[0].contains("declares none"));
        let two = format!("{GOOD}declare_rule! {{\n    pub Other {{\n    }}\n}}\n");
        assert!(problems(&two, RULES).iter().any(|line| line.contains("Other is a second rule")));
    }
}
