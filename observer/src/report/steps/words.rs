//! Steps in words.

use super::Began;

/// Steps that are named beside the first.
const ALSO: usize = 3;

/// In which step something was seen first, and in which others, in words.
#[must_use]
pub fn in_words<'a>(step: Option<&str>, began: Began, all: impl Iterator<Item = &'a str>) -> String {
    let mut words = match (step, began) {
        (None, _) => "none: it began in no test".to_owned(),
        (Some(step), Began::Grace) => format!("{step}, just after its end"),
        (Some(step), _) => step.to_owned(),
    };
    let mut others = all.filter(|other| Some(*other) != step);
    for other in others.by_ref().take(ALSO) {
        words.push_str("; also ");
        words.push_str(other);
    }
    let more = others.count();
    if more > 0 {
        words.push_str(&format!("; and {more} more"));
    }
    words
}
