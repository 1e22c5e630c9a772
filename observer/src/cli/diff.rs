//! `observer diff`: an undisturbed run against one under interception.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

use super::{FINDINGS, INCONCLUSIVE};
use crate::assess::differential::{Answer, Comparison, Opinion, TestAuthority, compare};
use crate::protocol::tls::CertificateCache;
use crate::report::plain::plain;
use crate::report::{SCHEMA, names};
use crate::store;

/// Compare an undisturbed run with one under interception: validation and pinning
///
/// Each app and host that took the real certificate in BASELINE, and then turned away the one that the interceptor
/// made, validates its certificates. With --test-ca, the device was made to trust the interceptor's authority: whoever turns
/// it away then pins.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The database of the undisturbed run
    #[arg(value_name = "BASELINE")]
    baseline: PathBuf,
    /// The database of the run under interception
    #[arg(value_name = "INTERCEPTION")]
    interception: PathBuf,
    /// The interceptor's authority (PEM), which the device was made to trust. Without it, the device does not know it
    #[arg(long, value_name = "CA.pem")]
    test_ca: Option<PathBuf>,
    /// The number of the undisturbed run; the last one if not given
    #[arg(long, value_name = "RUN")]
    baseline_run: Option<i64>,
    /// The number of the run under interception; the last one if not given
    #[arg(long, value_name = "RUN")]
    interception_run: Option<i64>,
    /// The form of the comparison
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  observer diff baseline.db interception.db
  observer diff baseline.db interception.db --test-ca mitmproxy-ca-cert.pem
  observer diff runs.db runs.db --baseline-run 3 --interception-run 4 --format json

Exit codes:
  0  nothing fails, and something holds
  1  validation or pinning fails somewhere
  4  inconclusive for every app and host";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let authority = arguments.test_ca.as_deref().map(authority).transpose()?;
    let (baseline_run, baseline) = store::meetings(&arguments.baseline, arguments.baseline_run)?;
    let (interception_run, interception) =
        store::meetings(&arguments.interception, arguments.interception_run)?;
    let compared = compare(&baseline, &interception, authority.as_ref());
    let mut out = BufWriter::new(anstream::stdout().lock());
    match arguments.format {
        Format::Text => write_text(&compared, authority.as_ref(), &mut out)?,
        Format::Json => {
            let record = json!({
                "type": "diff",
                "schema": SCHEMA,
                "baseline": { "path": arguments.baseline.display().to_string(), "run": baseline_run },
                "interception": { "path": arguments.interception.display().to_string(), "run": interception_run },
                "test_ca": authority.as_ref().map(|authority| authority.subject.as_str()),
                "endpoints": compared,
            });
            serde_json::to_writer(&mut out, &record)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(code(&compared))
}

fn code(compared: &[Comparison]) -> ExitCode {
    let answers = || compared.iter().flat_map(|one| [one.validation.answer, one.pinning.answer]);
    if answers().any(|answer| answer == Answer::Fails) {
        ExitCode::from(FINDINGS)
    } else if answers().any(|answer| answer == Answer::Holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INCONCLUSIVE)
    }
}

/// The first certificate of a PEM file.
fn authority(path: &Path) -> anyhow::Result<TestAuthority> {
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let der = CertificateDer::from_pem_slice(&pem)
        .map_err(|error| anyhow::anyhow!("{}: no certificate: {error}", path.display()))?;
    let certificate = CertificateCache::default().parse(&der);
    let parsed = certificate.parsed.as_ref();
    let parsed = parsed.with_context(|| format!("{}: the certificate cannot be read", path.display()))?;
    Ok(TestAuthority { subject: parsed.subject.clone(), sha256: HEXLOWER.encode(&certificate.sha256) })
}

fn write_text(
    compared: &[Comparison],
    authority: Option<&TestAuthority>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match authority {
        Some(authority) => {
            writeln!(
                out,
                "The device was made to trust {}: pinning is tested.\n",
                plain(&authority.subject)
            )?;
        }
        None => {
            writeln!(out, "The device does not know the interceptor's authority: validation is tested.\n")?
        }
    }
    for one in compared {
        let app = one.app.as_deref().unwrap_or("unattributed");
        writeln!(out, "{}  {}", plain(app), plain(&one.host))?;
        write_opinion("5.5 validation", &one.validation, out)?;
        write_opinion("5.7 pinning   ", &one.pinning, out)?;
    }
    let count = |answer: Answer| {
        compared.iter().filter(|one| [one.validation.answer, one.pinning.answer].contains(&answer)).count()
    };
    let nothing = compared
        .iter()
        .filter(|one| {
            [one.validation.answer, one.pinning.answer].iter().all(|answer| *answer == Answer::Inconclusive)
        })
        .count();
    let (holds, fails) = (count(Answer::Holds), count(Answer::Fails));
    writeln!(
        out,
        "\nApps and hosts: {}, hold {holds}, fail {fails}, inconclusive {nothing}",
        compared.len()
    )?;
    Ok(())
}

fn write_opinion(what: &str, opinion: &Opinion, out: &mut dyn Write) -> anyhow::Result<()> {
    let answer = match opinion.answer {
        Answer::Holds => "holds",
        Answer::Fails => "FAILS",
        Answer::Inconclusive => "inconclusive",
    };
    let confidence = opinion.confidence.map(|known| format!(" ({})", names::certainty(known)));
    writeln!(out, "  {what}  {answer}{}: {}", confidence.unwrap_or_default(), plain(&opinion.reason))?;
    Ok(())
}
