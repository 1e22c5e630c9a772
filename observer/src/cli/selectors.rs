//! Whose traffic a run is about.

use crate::attribution::Selection;

#[derive(clap::Args)]
#[command(next_help_heading = "Selectors")]
pub(super) struct Selectors {
    /// Only traffic of this package; can be repeated
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,
    /// Only traffic of this Linux user id; can be repeated
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,
    /// Only traffic of this process; can be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// Only traffic of processes with this name or path; can be repeated
    #[arg(long, value_name = "NAME")]
    process: Vec<String>,
}

impl Selectors {
    /// What they select, with a cgroup besides.
    pub(super) fn selection(&self, cgroup: Option<u64>) -> Selection {
        Selection {
            packages: self.package.clone(),
            uids: self.uid.clone(),
            pids: self.pid.clone(),
            processes: self.process.clone(),
            cgroup,
        }
    }
}
