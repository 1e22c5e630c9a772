//! The `observer` command, built with this package: Cargo tells integration tests where only their own package's
//! programs lie.

use std::process::ExitCode;

fn main() -> ExitCode {
    observer::cli::main()
}
