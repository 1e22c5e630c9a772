//! The `observer` command.

use std::process::ExitCode;

/// Flows are made on one thread and freed on another, by the hundred thousand: the system's allocator spends a quarter of
/// a run on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    observer::cli::main()
}
