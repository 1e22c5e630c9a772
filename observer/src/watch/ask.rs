//! Questions to the database, with what they are about bound to them.

use rusqlite::types::ToSql;
use rusqlite::{Row as SqlRow, Statement};

use crate::rules::Severity;
use crate::store::{Database, QueryError};

/// Hands each row of an answer to `take`. Of `bound`, what the question has no name for is passed over.
pub(super) fn each(
    database: &Database,
    question: &str,
    bound: &[(&str, &dyn ToSql)],
    words: &[String],
    mut take: impl FnMut(&SqlRow<'_>) -> rusqlite::Result<()>,
) -> Result<(), QueryError> {
    let mut statement = database.ask(question, &[], true)?;
    let mut answer = || {
        bind(&mut statement, bound, words)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    };
    answer().map_err(|error| database.error(error))
}

/// The first row of an answer.
pub(super) fn one<T>(
    database: &Database,
    question: &str,
    bound: &[(&str, &dyn ToSql)],
    read: impl Fn(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, QueryError> {
    let mut found = None;
    each(database, question, bound, &[], |row| {
        if found.is_none() {
            found = Some(read(row)?);
        }
        Ok(())
    })?;
    Ok(found)
}

fn bind(
    statement: &mut Statement<'_>,
    bound: &[(&str, &dyn ToSql)],
    words: &[String],
) -> rusqlite::Result<()> {
    for (name, value) in bound {
        if let Some(index) = statement.parameter_index(name)? {
            statement.raw_bind_parameter(index, value)?;
        }
    }
    for (number, word) in words.iter().enumerate() {
        if let Some(index) = statement.parameter_index(&format!(":w{number}"))? {
            statement.raw_bind_parameter(index, word)?;
        }
    }
    Ok(())
}

/// A count; SQLite's integers are signed.
pub(super) fn number(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|value| u64::try_from(value).ok()))
}

/// What is known of three counts, added up.
pub(super) fn sum(parts: [Option<u64>; 3]) -> u64 {
    parts.into_iter().flatten().fold(0, u64::saturating_add)
}

/// A JSON array of texts; empty where it is none.
pub(super) fn texts(json: Option<String>) -> Vec<String> {
    json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
}

/// A severity by its word; a word of a later version weighs as much as can be.
pub(super) fn severity(word: &str) -> Severity {
    [Severity::Info, Severity::Low, Severity::Medium, Severity::High]
        .into_iter()
        .find(|severity| severity.as_str() == word)
        .unwrap_or(Severity::Critical)
}
