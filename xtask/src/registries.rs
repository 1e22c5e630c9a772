//! `cargo xtask registries`: IANA's registries as Rust tables.
//!
//! The files are IANA's CSV files, as IANA writes them or with fewer rows and columns: columns are found by their headings,
//! rows that assign nothing are passed over. Where the files come from stands in the README beside them.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, bail, ensure};

use crate::command::root;
use crate::{Task, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "registries",
    summary: "writes the tables of TLS code points from IANA's files",
    help: "\
Usage: cargo xtask registries [--check]

Writes, beside each of IANA's files in observer/src/protocol/tls/registry, the table of its code points as Rust.
--check compares instead, and fails where a table is not what its file says; `cargo xtask tidy` does so, too.
",
    run: registries,
};

/// Where the files and the tables lie.
const FOLDER: &str = "observer/src/protocol/tls/registry";

/// One registry: `NAME.csv` becomes `NAME.rs`.
struct Registry {
    name: &'static str,
    /// What IANA calls it.
    title: &'static str,
    /// The type of a value.
    value: &'static str,
    /// Digits of a value in hex; 0 for decimal ones.
    digits: usize,
    /// Whether DTLS-OK and Recommended go into the table.
    flags: bool,
}

/// Every registry that becomes a table.
const REGISTRIES: &[Registry] = &[
    Registry { name: "alerts", title: "TLS Alerts", value: "u8", digits: 0, flags: false },
    Registry { name: "cipher_suites", title: "TLS Cipher Suites", value: "u16", digits: 4, flags: true },
    Registry {
        name: "signature_schemes",
        title: "TLS SignatureScheme",
        value: "u16",
        digits: 4,
        flags: false,
    },
    Registry {
        name: "supported_groups",
        title: "TLS Supported Groups",
        value: "u16",
        digits: 0,
        flags: false,
    },
];

/// One assignment.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    value: u16,
    name: String,
    dtls_ok: String,
    recommended: String,
}

fn registries(words: &[String]) -> anyhow::Result<()> {
    let check = match words {
        [] => false,
        [word] if word == "--check" => true,
        [word, ..] => return Err(unknown_word(&TASK, word)),
    };
    if check {
        let stale = stale()?;
        ensure!(
            stale.is_empty(),
            "not what their files say: {}; run `cargo xtask registries`",
            stale.join(", ")
        );
        return Ok(());
    }
    for registry in REGISTRIES {
        let path = root().join(FOLDER).join(format!("{}.rs", registry.name));
        fs::write(&path, registry.table()?).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The tables that are not what their files say.
pub(crate) fn stale() -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for registry in REGISTRIES {
        let path = format!("{FOLDER}/{}.rs", registry.name);
        if fs::read_to_string(root().join(&path)).unwrap_or_default() != registry.table()? {
            stale.push(path);
        }
    }
    Ok(stale)
}

impl Registry {
    /// The table as Rust.
    fn table(&self) -> anyhow::Result<String> {
        let path = root().join(FOLDER).join(format!("{}.csv", self.name));
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let rows = rows(&text).with_context(|| format!("{}", path.display()))?;
        self.render(&rows)
    }

    fn render(&self, rows: &[Row]) -> anyhow::Result<String> {
        let mut out = format!(
            "//! IANA's {}, written by `cargo xtask registries` from `{}.csv`; do not edit.\n\n",
            self.title, self.name
        );
        match self.flags {
            true => out.push_str(
                "use super::Recommended::{Discouraged, No, Yes};\nuse super::Suite;\n\n\
                 /// By value, each with its name, whether DTLS may use it, and what the IETF recommends.\n\
                 pub(super) const TABLE: &[Suite] = &[\n",
            ),
            false => writeln!(out, "/// By value.\npub(super) const TABLE: &[({}, &str)] = &[", self.value)?,
        }
        for row in rows {
            let value = match self.digits {
                0 => separated(row.value),
                digits => format!("{:#0width$x}", row.value, width = digits + 2),
            };
            let flags = match self.flags {
                true => format!(", {}, {}", yes_or_no(row)?, recommended(row)?),
                false => String::new(),
            };
            writeln!(out, "    ({value}, \"{}\"{flags}),", row.name)?;
        }
        out.push_str("];\n");
        Ok(out)
    }
}

/// A decimal as Rust has it: thousands apart from five digits on.
fn separated(value: u16) -> String {
    match value {
        10_000.. => format!("{}_{:03}", value / 1000, value % 1000),
        _ => value.to_string(),
    }
}

fn yes_or_no(row: &Row) -> anyhow::Result<bool> {
    match row.dtls_ok.as_str() {
        "Y" => Ok(true),
        "N" => Ok(false),
        other => bail!("{}: DTLS-OK is `{other}`", row.name),
    }
}

fn recommended(row: &Row) -> anyhow::Result<&'static str> {
    match row.recommended.as_str() {
        "Y" => Ok("Yes"),
        "N" => Ok("No"),
        "D" => Ok("Discouraged"),
        other => bail!("{}: Recommended is `{other}`", row.name),
    }
}

/// The assignments of one of IANA's files, by value.
fn rows(text: &str) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let headings = reader.headers()?.clone();
    let column = |name: &str| headings.iter().position(|heading| heading == name);
    let value = column("Value").context("no column Value")?;
    let description = column("Description").context("no column Description")?;
    let (dtls_ok, recommended) = (column("DTLS-OK"), column("Recommended"));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell =
            |column: Option<usize>| column.and_then(|at| record.get(at)).unwrap_or_default().to_owned();
        let (value, description) = (cell(Some(value)), cell(Some(description)));
        // A name may have a remark behind it, e.g. that it is obsolete or was another once.
        let name = description.split(" (").next().unwrap_or_default();
        if matches!(name, "Unassigned" | "Reserved") || name.starts_with("Reserved ") {
            continue;
        }
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        ensure!(!name.is_empty() && name.bytes().all(word), "`{description}` is no name");
        let value = number(&value).with_context(|| format!("{name}: `{value}` is no value"))?;
        rows.push(Row {
            value,
            name: name.to_owned(),
            dtls_ok: cell(dtls_ok),
            recommended: cell(recommended),
        });
    }
    rows.sort_by_key(|row| row.value);
    for pair in rows.windows(2) {
        if let [first, second] = pair {
            ensure!(first.value != second.value, "{} and {} have one value", first.name, second.name);
        }
    }
    Ok(rows)
}

/// `0xC0,0x2F`, `0x0403` or `29`.
fn number(text: &str) -> Option<u16> {
    let hex = |text: &str| u16::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    match text.split_once(',') {
        Some((high, low)) => {
            let [high, low] = [hex(high)?, hex(low)?].map(u8::try_from);
            Some(u16::from_be_bytes([high.ok()?, low.ok()?]))
        }
        None if text.starts_with("0x") => hex(text),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As IANA writes it: a comment column, ranges, names over two lines, remarks behind names.
    const SUITES: &str = "\
Value,Description,DTLS-OK,Recommended,Reference,Comment
\"0xC0,0x2F\",TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,Y,Y,[RFC5289],
\"0x00,0x05\",TLS_RSA_WITH_RC4_128_SHA,N,D,[RFC5246],old (and bad)
\"0x00,0x47-4F\",\"Reserved to avoid conflicts with
deployed implementations\",,,[Pasi_Eronen],
\"0x0B-12,*\",Unassigned,,,,
\"0x0A,0x0A\",Reserved,Y,N,[RFC8701],
";

    fn row(value: u16, name: &str, dtls_ok: &str, recommended: &str) -> Row {
        Row { value, name: name.into(), dtls_ok: dtls_ok.into(), recommended: recommended.into() }
    }

    #[test]
    fn what_iana_assigns_is_read_by_value() {
        let expected = [
            row(5, "TLS_RSA_WITH_RC4_128_SHA", "N", "D"),
            row(0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "Y", "Y"),
        ];
        assert_eq!(rows(SUITES).unwrap(), expected);
        let groups = rows("Value,Description\n25497,X25519Kyber768Draft00 (OBSOLETE)\n0x0403,a_b\n").unwrap();
        assert_eq!(groups, [row(0x403, "a_b", "", ""), row(25_497, "X25519Kyber768Draft00", "", "")]);
    }

    #[test]
    fn what_cannot_be_a_registry_is_refused() {
        for bad in [
            "Number,Description\n1,a\n",
            "Value,Description\n1-2,a\n",
            "Value,Description\n1,a\n1,b\n",
            "Value,Description\n\"0x00,0x100\",a\n",
            "Value,Description\n1,two words\n",
            "Value,Description\n1,\"a\"\"b\"\n",
        ] {
            assert!(rows(bad).is_err(), "{bad}");
        }
        let suites = REGISTRIES.iter().find(|registry| registry.flags).unwrap();
        assert!(suites.render(&[row(1, "a", "Y", "")]).is_err());
    }

    #[test]
    fn a_table_is_rust() {
        let suites = REGISTRIES.iter().find(|registry| registry.flags).unwrap();
        let table = suites.render(&rows(SUITES).unwrap()).unwrap();
        assert!(
            table.contains("\n    (0x0005, \"TLS_RSA_WITH_RC4_128_SHA\", false, Discouraged),\n"),
            "{table}"
        );
        assert_eq!(separated(25_097), "25_097");
        assert_eq!(separated(4588), "4588");
    }
}
