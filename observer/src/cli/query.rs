//! `observer query`: questions to a database.

use std::io::{self, BufWriter, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use super::FAILED;
use crate::store::{Database, Form, Parameter, QueryError, SAVED, Saved, write_answer};

/// Ask a database that `analyze --db` wrote
///
/// QUESTION is the name of a saved question, SQL, or `-` for SQL on standard input. The database is only read.
/// `observer query run.db "SELECT sql FROM sqlite_schema WHERE type = 'view'"` shows what can be asked for.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The database
    #[arg(value_name = "DATABASE", required_unless_present = "list")]
    database: Option<PathBuf>,
    /// A saved question's name, SQL, or `-`
    #[arg(value_name = "QUESTION", required_unless_present = "list")]
    question: Option<String>,
    /// List the saved questions
    #[arg(long)]
    list: bool,
    /// A value for `:NAME`; a number is a number, '…' always text. Can be repeated
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<Parameter>,
    /// The form of the answer
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  observer query run.db --list
  observer query run.db endpoints
  observer query run.db verdicts -p standard=masvs
  observer query run.db \"SELECT * FROM tls WHERE host LIKE :h\" -p h=%.example
  observer query run.db cleartext --format csv > cleartext.csv";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Jsonl,
    Csv,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = BufWriter::new(stdout.lock());
    let (Some(path), Some(question), false) = (&arguments.database, &arguments.question, arguments.list)
    else {
        for saved in SAVED {
            writeln!(out, "{:20} {}", saved.name, saved.description())?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut text = String::new();
    let saved = Saved::find(question);
    let sql = match (saved, question.as_str()) {
        (Some(saved), _) => saved.sql,
        (None, "-") => {
            io::stdin().read_to_string(&mut text).context("cannot read the question from standard input")?;
            text.as_str()
        }
        (None, sql) => sql,
    };
    let form = match arguments.format {
        Format::Csv => Form::Csv,
        Format::Json => Form::Json,
        Format::Jsonl => Form::Jsonl,
        Format::Table => Form::Table,
    };
    let answered = Database::open(path).map_err(QueryError::from).and_then(|database| {
        let statement = database.ask(sql, &arguments.parameters, saved.is_some())?;
        write_answer(&database, statement, form, terminal, &mut out)
    });
    match answered {
        Ok((rows, more)) => {
            out.flush()?;
            if more {
                anstream::eprintln!("observer: only the first {rows} rows are shown; --format csv shows all");
            } else if rows == 0 && arguments.format == Format::Table {
                anstream::eprintln!("observer: no rows");
            }
            Ok(ExitCode::SUCCESS)
        }
        // The question was wrong: a mistake in the use of the command.
        Err(error @ (QueryError::Parameter(_) | QueryError::Refused | QueryError::Sql(_))) => {
            let mut error = anyhow::Error::from(error);
            if saved.is_none() && !question.contains(char::is_whitespace) && question != "-" {
                error = anyhow::anyhow!("no saved question is called {question:?}; --list names them");
            }
            super::complain(&error);
            Ok(ExitCode::from(super::USAGE))
        }
        Err(error) if super::is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            super::complain(&error.into());
            Ok(ExitCode::from(FAILED))
        }
    }
}
