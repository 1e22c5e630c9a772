//! Requirements: those of CL MSS one by one, those of the other standards in numbers.

use std::io::{self, Write};

use super::words::{dim, wrapped};
use super::{Section, words};
use crate::assess::{Judgement, Verdict};
use crate::report::plain::plain;
use crate::report::wording::{self, cl_mss, count, list, title};
use crate::requirements::{self, Exercise};
use crate::rules::RuleInfo;

/// The other standards that a finding names, the first row of each: prefix and what to write for it.
const NAMED: [(&str, &str); 3] = [("masvs:", "MASVS "), ("mastg:", ""), ("cwe:", "CWE-")];

/// Writes a row for each requirement of CL MSS and a line for all others.
pub(super) fn table(verdicts: &[&Verdict], out: &mut dyn Write) -> io::Result<()> {
    let (ours, others): (Vec<&Verdict>, Vec<&Verdict>) =
        verdicts.iter().partition(|verdict| cl_mss(verdict.requirement).is_some());
    for verdict in ours {
        row(verdict, out)?;
    }
    let counts: Vec<_> = wording::JUDGEMENTS
        .into_iter()
        .filter_map(|judged| {
            let many = others.iter().filter(|verdict| verdict.judgement == judged).count();
            (many > 0).then(|| format!("{many} {}", judged.in_words()))
        })
        .collect();
    if !counts.is_empty() {
        for line in wrapped(&format!("other standards: {}", list(&counts)), 76) {
            writeln!(out, "  {}", dim(&line))?;
        }
    }
    Ok(())
}

fn row(verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
    let number = cl_mss(verdict.requirement).unwrap_or_default();
    let title = title(number);
    let style = words::judgement(verdict.judgement);
    let word = match verdict.judgement {
        Judgement::Violated => "VIOLATED",
        judged => judged.in_words(),
    };
    let pad = 14_usize.saturating_sub(word.len());
    writeln!(out, "  {number}  {title:34} {style}{word}{style:#}{:pad$} {}", "", dim(&ground(verdict)))?;
    if verdict.judgement == Judgement::Inconclusive {
        for line in wrapped(&plain(&verdict.reason), 73) {
            writeln!(out, "       {}", dim(&line))?;
        }
    }
    Ok(())
}

/// What a conclusion rests on, in a few words.
fn ground(verdict: &Verdict) -> String {
    let exercise = requirements::find(verdict.requirement).map_or(Exercise::None, |row| row.exercise);
    match verdict.judgement {
        Judgement::Violated => count(verdict.findings, "finding"),
        Judgement::NoViolationObserved | Judgement::Inconclusive => {
            let flows = count(verdict.flows, "flow");
            let both = format!("{}, {flows}", count(verdict.endpoints, "endpoint"));
            if both.len() <= 23 { both } else { flows }
        }
        Judgement::NotExercised => match exercise {
            Exercise::Payload => "no payload seen",
            Exercise::Handshake => "no handshake answered",
            Exercise::Chain => "no chain to read",
            Exercise::Pin => "no pins to compare with",
            Exercise::ClientCertificate => "no server asked for it",
            Exercise::Loss => "no attempt in vain",
            Exercise::Request => "no request to read",
            Exercise::Response => "no response to read",
            Exercise::Endpoint | Exercise::None => "nothing to compare with",
        }
        .to_owned(),
        Judgement::NotObservable if exercise == Exercise::Chain => "TLS 1.3 hides chains".to_owned(),
        Judgement::NotObservable => "not seen in traffic".to_owned(),
    }
}

/// Writes which requirements a rule bears on: those of CL MSS, a few others, and where to find the rest.
pub(super) fn of_rule(rule: &RuleInfo, out: &mut dyn Write) -> io::Result<()> {
    for number in rule.requirements.iter().filter_map(|id| cl_mss(id)) {
        writeln!(out, "           {}", dim(&format!("CL MSS {number}: {}", title(number))))?;
    }
    let named: Vec<_> = NAMED
        .into_iter()
        .filter_map(|(prefix, name)| {
            let id = rule.requirements.iter().find_map(|id| id.strip_prefix(prefix))?;
            Some(format!("{name}{id}"))
        })
        .collect();
    let ours = rule.requirements.iter().filter(|id| cl_mss(id).is_some()).count();
    let more = rule.requirements.len().saturating_sub(ours).saturating_sub(named.len());
    let text = match (named.is_empty(), more) {
        (true, 0) => return Ok(()),
        (false, 0) => named.join(", "),
        (true, more) => format!("and {more} more: observer rules explain {}", rule.id),
        (false, more) => format!("{} and {more} more: observer rules explain {}", named.join(", "), rule.id),
    };
    // A command that is broken in two is no good to copy.
    let lines = match text.split_once(": ") {
        Some((names, command)) if text.len() > 69 => vec![format!("{names}:"), command.to_owned()],
        _ => vec![text],
    };
    for line in lines {
        writeln!(out, "           {}", dim(&line))?;
    }
    Ok(())
}

/// `shop violates CL MSS 5.1 and 5.4; chat violates 5.5`: the apps of which `judged` holds; `None` if there is none.
pub(super) fn sentence(sections: &[Section<'_>], judged: Judgement, verb: &str) -> Option<String> {
    const APPS: usize = 5;
    let mut clauses: Vec<String> = Vec::new();
    let mut hidden = 0_u64;
    for section in sections {
        let numbers: Vec<_> = section
            .verdicts
            .iter()
            .filter(|verdict| verdict.judgement == judged)
            .filter_map(|verdict| cl_mss(verdict.requirement))
            .map(str::to_owned)
            .collect();
        if numbers.is_empty() {
            continue;
        }
        if clauses.len() >= APPS {
            hidden = hidden.saturating_add(1);
            continue;
        }
        let standard = if clauses.is_empty() { "CL MSS " } else { "" };
        clauses.push(format!("{} {verb} {standard}{}", section.subject(), list(&numbers)));
    }
    if hidden > 0 {
        clauses.push(format!("and {} more", count(hidden, "app")));
    }
    (!clauses.is_empty()).then(|| clauses.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_few_requirements_and_counts_the_rest() {
        for rule in crate::rules::RULES.iter().map(|rule| rule.info()) {
            let mut out = Vec::new();
            of_rule(rule, &mut out).unwrap();
            let text = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            let ours = rule.requirements.iter().filter(|id| cl_mss(id).is_some()).count();
            assert_eq!(text.matches("CL MSS").count(), ours, "{text}");
            let rest = rule.requirements.len() - ours;
            assert!(rest <= 3 || text.contains(&format!("observer rules explain {}", rule.id)), "{text}");
        }
    }
}
