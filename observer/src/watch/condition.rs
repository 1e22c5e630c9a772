//! A filter as a condition of SQL. What is typed is bound, never part of the question.
//!
//! The conditions are over `flow`, `owner` and `tls`, as the questions of [`super::read`] call them, and over `finding`
//! where findings are asked for. Every text is made of parts that are never NULL, so that a negated word is exact.

use super::filter::{Filter, Key, Test};

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Flows,
    Findings,
}

/// Which findings there are: those that come while the run goes on, or those of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Provisional,
    Final,
}

impl Stage {
    /// The findings of either stage under the same names.
    pub(super) fn findings(self) -> &'static str {
        match self {
            Self::Provisional => {
                "(SELECT id, run, rule, severity, confidence, requirements, owner, NULL AS blame, host, ip, port, message,
                    evidence, NULL AS suppressed, flow, frames
                FROM provisional_findings_v1)"
            }
            Self::Final => {
                "(SELECT found.id, run, rule, severity, confidence, requirements, owner, blame, host, ip, port, message,
                    evidence, suppressed, first.flow,
                    (SELECT json_group_array(frame) FROM finding_frames_v1 WHERE finding = found.id) AS frames
                FROM findings_v1 AS found
                    LEFT JOIN finding_frames_v1 AS first ON first.finding = found.id AND first.position = 0)"
            }
        }
    }

    /// The flows that the findings name as evidence, of those that a condition over `found` lets through.
    fn evidence(self) -> &'static str {
        match self {
            Self::Provisional => {
                "SELECT found.flow FROM provisional_findings_v1 AS found WHERE found.run = :run AND "
            }
            Self::Final => {
                "SELECT place.flow FROM findings_v1 AS found
                JOIN finding_frames_v1 AS place ON place.finding = found.id WHERE found.run = :run AND "
            }
        }
    }
}

/// The step of the test at a time, an expression in nanoseconds: what the last marker before it says; NULL before the
/// first.
pub(super) fn step_at(time: &str) -> String {
    format!(
        "(SELECT label FROM markers_v1 WHERE run = :run AND at <= {time} ORDER BY at DESC, rowid DESC LIMIT 1)"
    )
}

const PACKAGE: &str = "coalesce(owner.name, 'unattributed') || ' ' || coalesce(owner.package, '') || ' ' || \
    coalesce(owner.label, '') || ' ' || coalesce(owner.process, '')";

const FLOW_HOST: &str = "coalesce(flow.destination_domain, '') || ':' || coalesce(flow.destination_port, '') || ' ' || \
    flow.destination_ip || ':' || coalesce(flow.destination_port, '')";

const FINDING_HOST: &str =
    "coalesce(finding.host, '') || ':' || finding.port || ' ' || finding.ip || ':' || finding.port";

const PROTOCOL: &str = "coalesce(flow.network_transport, '') || ' ' || coalesce(flow.network_layers, '') || ' ' || \
    coalesce(tls.version_protocol || ' ' || tls.version, '') || ' ' || coalesce(flow.network_protection, '')";

/// A condition, and the values of `:w0`, `:w1` and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<String>,
}

impl Condition {
    /// What `filter` lets through.
    pub(super) fn of(filter: &Filter, subject: Subject, stage: Stage) -> Self {
        let mut condition = Self { sql: "1".to_owned(), values: Vec::new() };
        for word in &filter.words {
            let test = condition.test(&word.test, subject, stage);
            condition.sql.push_str(if word.negated { " AND NOT (" } else { " AND (" });
            condition.sql.push_str(&test);
            condition.sql.push(')');
        }
        condition
    }

    fn test(&mut self, test: &Test, subject: Subject, stage: Stage) -> String {
        match (test, subject) {
            (Test::Severity(..), _) => {
                // The program's own words.
                let words: Vec<_> = test.severities().map(|severity| format!("'{severity}'")).collect();
                let words = words.join(", ");
                match subject {
                    Subject::Findings => format!("finding.severity IN ({words})"),
                    Subject::Flows => {
                        format!("flow.id IN ({} found.severity IN ({words}))", stage.evidence())
                    }
                }
            }
            (Test::Contains(Key::Rule, text), Subject::Flows) => {
                format!("flow.id IN ({} {})", stage.evidence(), self.like("found.rule", text))
            }
            (Test::Contains(key, text), _) => self.like(&text_of(*key, subject), text),
        }
    }

    /// Whether `expression` contains `text`; letters match in either case.
    fn like(&mut self, expression: &str, text: &str) -> String {
        let mut pattern = String::from("%");
        for c in text.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        let number = self.values.len();
        self.values.push(pattern);
        format!("{expression} LIKE :w{number} ESCAPE '\\'")
    }
}

/// The text that a key stands for; never NULL.
fn text_of(key: Key, subject: Subject) -> String {
    let host = match subject {
        Subject::Flows => FLOW_HOST,
        Subject::Findings => FINDING_HOST,
    };
    let step = format!("coalesce({}, '')", step_at("flow.event_start"));
    match key {
        Key::Package => format!("({PACKAGE})"),
        Key::Host => format!("({host})"),
        Key::Protocol => format!("({PROTOCOL})"),
        Key::Step => step,
        Key::Rule => "finding.rule".to_owned(),
        Key::Anything => {
            let said = match subject {
                Subject::Flows => "",
                Subject::Findings => {
                    " || ' ' || finding.rule || ' ' || finding.severity || ' ' || finding.message"
                }
            };
            format!("({PACKAGE} || ' ' || {host} || ' ' || {PROTOCOL} || ' ' || {step}{said})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_bound_and_means_itself() {
        let filter = Filter::parse("host:100%_\\'; -sev:>critical").unwrap();
        let condition = Condition::of(&filter, Subject::Findings, Stage::Final);
        assert_eq!(condition.values, ["%100\\%\\_\\\\';%"]);
        assert!(!condition.sql.contains("100"), "{}", condition.sql);
        assert!(condition.sql.ends_with("AND NOT (finding.severity IN ())"), "{}", condition.sql);
    }
}
