//! Questions to a database: SQL that reads and nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, InterruptHandle, Statement};

use super::{StoreError, open};

/// The longest text or blob that a question may make, in bytes.
const LONGEST: i32 = 64 << 20;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// The answer cannot be written.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// A parameter has no value, or a value no parameter.
    #[error("{0}")]
    Parameter(String),
    /// The question is not one: it writes, attaches or changes settings.
    #[error("only questions are answered here: the database is opened for reading")]
    Refused,
    /// SQLite does not understand it.
    #[error("{0}")]
    Sql(String),
}

/// A value for a named parameter, written `name=value`.
///
/// A number becomes a number, `'…'` a text whatever it looks like, anything else a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    name: String,
    value: Value,
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let name = name.trim_start_matches([':', '@', '$']);
        if name.is_empty() {
            return Err("expected NAME=VALUE".to_owned());
        }
        let quoted = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        let value = match (quoted, value.parse(), value.parse()) {
            (Some(text), ..) => Value::Text(text.to_owned()),
            (None, Ok(number), _) => Value::Integer(number),
            (None, _, Ok(number)) => Value::Real(number),
            _ => Value::Text(value.to_owned()),
        };
        Ok(Self { name: name.to_owned(), value })
    }
}

/// A database open for questions.
pub struct Database {
    path: PathBuf,
    connection: Connection,
}

impl Database {
    /// Opens the database at `path`, which stays as it is.
    ///
    /// # Errors
    /// When there is none, or it is not one of this program's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = open::for_reading(path)?;
        let refuse = |error| StoreError::new(path, error);
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST).map_err(refuse)?;
        connection.pragma_update(None, "query_only", true).map_err(refuse)?;
        connection.authorizer(Some(|context: AuthContext<'_>| authorize(&context.action))).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Opens the database at `path` as [`Self::open`] does, if it has the tables that this version writes.
    ///
    /// # Errors
    /// When there is none, or it is not one of this program's, or of an earlier version.
    pub fn open_current(path: &Path) -> Result<Self, StoreError> {
        let database = Self::open(path)?;
        open::demand_current(&database.connection, path)?;
        Ok(database)
    }

    /// What ends, from another thread, a question that takes too long.
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// Makes the question `sql` ready to be answered. With `optional`, parameters without a value are NULL.
    ///
    /// # Errors
    /// When it is wrong, writes, or parameters and values do not match.
    pub fn ask(
        &self,
        sql: &str,
        parameters: &[Parameter],
        optional: bool,
    ) -> Result<Statement<'_>, QueryError> {
        let mut statement = self.connection.prepare(sql).map_err(|error| self.error(error))?;
        if statement.column_count() == 0 {
            return Err(if statement.readonly() {
                QueryError::Sql("there is no question".into())
            } else {
                QueryError::Refused
            });
        }
        let mut unused: Vec<_> = parameters.iter().collect();
        for index in 1..=statement.parameter_count() {
            let Some(name) = statement.parameter_name(index).map(str::to_owned) else {
                return Err(QueryError::Parameter("parameters need names, as in :host".to_owned()));
            };
            let bare = name.get(1..).unwrap_or_default();
            if let Some(parameter) = parameters.iter().find(|parameter| parameter.name == bare) {
                unused.retain(|other| other.name != bare);
                let bound = statement.raw_bind_parameter(index, &parameter.value);
                bound.map_err(|error| self.error(error))?;
            } else if !optional {
                let problem = format!("{name} has no value: give it with -p {bare}=VALUE");
                return Err(QueryError::Parameter(problem));
            }
        }
        match unused.first() {
            Some(unused) => {
                Err(QueryError::Parameter(format!("the question has no parameter :{}", unused.name)))
            }
            None => Ok(statement),
        }
    }

    /// The error behind SQLite's: the question's fault or the database's.
    pub fn error(&self, error: rusqlite::Error) -> QueryError {
        match (&error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly)) => {
                QueryError::Refused
            }
            (rusqlite::Error::MultipleStatement, _) => QueryError::Sql("one question at a time".to_owned()),
            (rusqlite::Error::SqlInputError { msg, offset, .. }, _) if *offset >= 0 => {
                QueryError::Sql(format!("{msg}, at character {}", offset.saturating_add(1)))
            }
            (rusqlite::Error::SqlInputError { msg, .. }, _) => QueryError::Sql(msg.clone()),
            (rusqlite::Error::SqliteFailure(_, Some(message)), Some(ErrorCode::Unknown)) => {
                QueryError::Sql(message.clone())
            }
            (_, Some(ErrorCode::Unknown | ErrorCode::TooBig | ErrorCode::TypeMismatch)) => {
                QueryError::Sql(error.to_string())
            }
            _ => QueryError::Database(StoreError::new(&self.path, error)),
        }
    }
}

/// Reading is allowed, everything else is not.
fn authorize(action: &AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if *function_name != "load_extension" => Authorization::Allow,
        // The pragmas that describe a schema, also as table-valued functions.
        AuthAction::Pragma { pragma_name, .. }
            if matches!(
                *pragma_name,
                "application_id"
                    | "data_version"
                    | "index_info"
                    | "index_list"
                    | "table_info"
                    | "table_list"
                    | "table_xinfo"
                    | "user_version"
            ) =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}
