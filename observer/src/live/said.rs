//! What somebody says who sets a marker: as JSON, as a form, or as plain words.

use serde::Deserialize;

use crate::source::{MAX_LABEL, Marker, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// Bytes of what is said at most: a label of which every byte is escaped, and the rest.
pub(super) const MAX_SAID: usize = 8 << 10;

/// A marker without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What happens.
    pub kind: MarkerKind,
    /// In whose words; an end may have none.
    pub label: String,
}

/// Why it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No label, or too long a one.
    #[error("a label has 1 to {MAX_LABEL} bytes; an end may have none")]
    Label,
    /// Another kind.
    #[error("a kind is point, begin or end")]
    Kind,
    /// Another result, or one of what does not end.
    #[error("a result is passed, failed, assumption_failed or ignored, and belongs to an end")]
    Result,
    /// No JSON, or other keys.
    #[error("JSON is an object with label, kind and result")]
    Json,
    /// No text.
    #[error("what is said is UTF-8")]
    Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    label: Option<String>,
    kind: Option<String>,
    result: Option<String>,
}

impl Said {
    /// Reads what came through the socket: JSON where it begins like it, or else a label.
    pub(super) fn line(line: &[u8]) -> Result<Self, Refusal> {
        match line.trim_ascii() {
            json @ [b'{', ..] => match serde_json::from_slice::<Fields>(json) {
                Ok(fields) => fields.said(),
                // A label of an earlier version may begin so, too.
                Err(_no_json) => Self::text(json, Fields::default()),
            },
            // What is no text came from who knows where, and was always taken.
            label => Self::text(String::from_utf8_lossy(label).as_bytes(), Fields::default()),
        }
    }

    /// Reads a request: its `query`, and its `body` of that media type.
    pub(super) fn request(
        query: Option<&str>,
        media_type: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let fields = Fields::form(query.unwrap_or_default());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        let body = body.trim_ascii();
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        if is("application/json") || body.starts_with(b"{") {
            let inside: Fields = serde_json::from_slice(body).map_err(|_invalid| Refusal::Json)?;
            return inside.or(fields).said();
        }
        // curl -d says that it is a form, whatever it is.
        if is("application/x-www-form-urlencoded") && body.contains(&b'=') {
            let body = std::str::from_utf8(body).map_err(|_invalid| Refusal::Text)?;
            return Fields::form(body).or(fields).said();
        }
        Self::text(body, fields)
    }

    fn text(label: &[u8], fields: Fields) -> Result<Self, Refusal> {
        let label = std::str::from_utf8(label).map_err(|_invalid| Refusal::Text)?;
        let label = Some(label.to_owned()).filter(|label| !label.is_empty());
        Fields { label, ..Fields::default() }.or(fields).said()
    }

    /// What goes through the socket: a plain label, which captures of earlier versions take, too, or JSON.
    pub(super) fn to_line(&self) -> String {
        let label = self.label.replace(['\n', '\r'], " ");
        match self.kind {
            MarkerKind::Point if !label.starts_with('{') => label,
            MarkerKind::End(result) => {
                serde_json::json!({"kind": "end", "label": label, "result": result.as_str()}).to_string()
            }
            kind => serde_json::json!({"kind": kind.as_str(), "label": label}).to_string(),
        }
    }

    /// The marker, said at `at`.
    pub(super) fn at(&self, at: Timestamp, origin: MarkerOrigin) -> Marker {
        Marker::new(at, self.kind, origin, &self.label)
    }
}

impl Fields {
    /// Reads `application/x-www-form-urlencoded` (WHATWG URL §5.1); other names are passed over.
    fn form(text: &str) -> Self {
        let mut fields = Self::default();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = Some(decoded(value));
            match name {
                "label" => fields.label = value,
                "kind" => fields.kind = value,
                "result" => fields.result = value,
                _ => {}
            }
        }
        fields
    }

    fn or(self, other: Self) -> Self {
        Self {
            label: self.label.or(other.label),
            kind: self.kind.or(other.kind),
            result: self.result.or(other.result),
        }
    }

    fn said(self) -> Result<Said, Refusal> {
        let result = self.result.as_deref().map(|word| TestResult::find(word).ok_or(Refusal::Result));
        let result = result.transpose()?;
        let kind = match (self.kind.as_deref().unwrap_or("point"), result) {
            ("end", result) => MarkerKind::End(result.unwrap_or(TestResult::Unknown)),
            ("point" | "begin", Some(_)) => return Err(Refusal::Result),
            ("point", None) => MarkerKind::Point,
            ("begin", None) => MarkerKind::Begin,
            _ => return Err(Refusal::Kind),
        };
        let label = self.label.unwrap_or_default().trim().to_owned();
        let may_be_empty = matches!(kind, MarkerKind::End(_));
        if label.len() > MAX_LABEL || (label.is_empty() && !may_be_empty) {
            return Err(Refusal::Label);
        }
        Ok(Said { kind, label })
    }
}

/// A value of a form: `+` is a blank, `%XX` a byte.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let byte = escaped.and_then(|digits| data_encoding::HEXUPPER_PERMISSIVE.decode(digits).ok());
        match (byte.as_deref(), first) {
            (Some([byte]), _) => {
                bytes.push(*byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (_, b'+') => {
                bytes.push(b' ');
                rest = after;
            }
            (_, byte) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use MarkerKind::{Begin, End, Point};

    fn said(kind: MarkerKind, label: &str) -> Result<Said, Refusal> {
        Ok(Said { kind, label: label.to_owned() })
    }

    #[test]
    fn a_request_may_be_json_a_form_or_words() {
        let (json, form) =
            (Some("application/json; charset=utf-8"), Some("application/x-www-form-urlencoded"));
        let request = Said::request;
        let begin = br#"{"kind":"begin","label":"log in"}"#;
        assert_eq!(request(None, json, begin), said(Begin, "log in"));
        assert_eq!(request(None, None, begin), said(Begin, "log in"));
        assert_eq!(
            request(None, form, b"kind=end&result=failed&label=log+in%20%e2%82%ac"),
            said(End(TestResult::Failed), "log in €")
        );
        assert_eq!(request(None, form, b"log in"), said(Point, "log in"));
        assert_eq!(request(Some("kind=begin"), Some("text/plain"), b"a=b & c"), said(Begin, "a=b & c"));
        assert_eq!(request(Some("kind=begin&label=x"), None, b""), said(Begin, "x"));
        assert_eq!(request(None, json, br#"{"kind":"end"}"#), said(End(TestResult::Unknown), ""));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let json = |text: &str| Said::request(None, Some("application/json"), text.as_bytes());
        assert_eq!(json("[]"), Err(Refusal::Json));
        assert_eq!(json(r#"{"label":"x","colour":"red"}"#), Err(Refusal::Json));
        assert_eq!(json(r#"{"label":"x","kind":"run-started"}"#), Err(Refusal::Kind));
        assert_eq!(json(r#"{"label":"x","result":"passed"}"#), Err(Refusal::Result));
        assert_eq!(json(r#"{"label":"x","kind":"end","result":"good"}"#), Err(Refusal::Result));
        assert_eq!(json(r#"{"label":" "}"#), Err(Refusal::Label));
        assert_eq!(json(&format!(r#"{{"label":"{}"}}"#, "x".repeat(MAX_LABEL + 1))), Err(Refusal::Label));
        assert_eq!(Said::request(None, None, &[0xff]), Err(Refusal::Text));
    }

    proptest! {
        #[test]
        fn a_line_says_what_was_said(kind in 0_u8..3, label in "[^ \n\r\t].{0,40}[^ \n\r\t]") {
            let kind = [Point, Begin, End(TestResult::Passed)][usize::from(kind)];
            let label = label.replace(['\n', '\r'], " ").trim().to_owned();
            prop_assume!(!label.trim_ascii().is_empty() && label.trim_ascii() == label);
            let said = Said { kind, label };
            prop_assert_eq!(Said::line(said.to_line().as_bytes()), Ok(said));
        }

        #[test]
        fn nothing_said_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..60), query in ".{0,20}") {
            let _ = Said::line(&body);
            for media_type in [None, Some("application/json"), Some("application/x-www-form-urlencoded")] {
                let _ = Said::request(Some(&query), media_type, &body);
            }
        }
    }
}
