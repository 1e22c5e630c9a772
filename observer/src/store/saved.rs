//! The questions that a tester asks first, each a file in `queries/` whose first comment says what it answers.

/// A question with a name.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// Its name on the command line.
    pub name: &'static str,
    /// The question.
    pub sql: &'static str,
}

impl Saved {
    /// What it answers: the comment that it begins with.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.sql.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or_default()
    }

    /// The question called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SAVED.iter().find(|saved| saved.name == name)
    }
}

macro_rules! saved {
    ($($name:literal),* $(,)?) => {
        &[$(Saved { name: $name, sql: include_str!(concat!("queries/", $name, ".sql")) }),*]
    };
}

/// All saved questions. Each is about the latest run, or about the run that `-p run=ID` names.
pub static SAVED: &[Saved] = saved![
    "apps",
    "endpoints",
    "cleartext",
    "findings",
    "steps",
    "verdicts",
    "weakest-tls",
    "failed-tls",
    "mixed-hosts",
    "certificates",
    "client-certificates",
    "shared-hosts",
    "uploads",
    "unnamed-endpoints",
    "unused-names",
    "unattributed",
    "losses",
];
