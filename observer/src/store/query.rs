//! Questions to a database, read-only.

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// SQLite refused.
    #[error("query failed")]
    Sqlite(#[from] rusqlite::Error),
}
