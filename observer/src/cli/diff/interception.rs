//! `observer diff --interception`: an undisturbed run against one under interception.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

use super::super::run_name::RunName;
use super::super::{FINDINGS, INCONCLUSIVE, USAGE};
use super::Format;
use crate::assess::differential::{Answer, Comparison, Opinion, TestAuthority, compare};
use crate::protocol::tls::CertificateCache;
use crate::report::plain::plain;
use crate::report::{SCHEMA, names};
use crate::store;

/// Compares the runs, and says for each app and host whether validation and pinning hold.
pub(super) fn run(
    before: &RunName,
    after: &RunName,
    test_ca: Option<&Path>,
    format: Format,
) -> anyhow::Result<ExitCode> {
    if format == Format::Markdown {
        let error =
            anyhow::anyhow!("the comparison under interception has no Markdown; it has text and json");
        super::super::complain(&error);
        return Ok(ExitCode::from(USAGE));
    }
    let authority = test_ca.map(authority).transpose()?;
    let (baseline_run, baseline) = store::meetings(&before.path, before.run)?;
    let (interception_run, interception) = store::meetings(&after.path, after.run)?;
    let compared = compare(&baseline, &interception, authority.as_ref());
    let mut out = BufWriter::new(anstream::stdout().lock());
    if format == Format::Json {
        let record = json!({
            "type": "diff",
            "schema": SCHEMA,
            "baseline": { "path": before.path.display().to_string(), "run": baseline_run },
            "interception": { "path": after.path.display().to_string(), "run": interception_run },
            "test_ca": authority.as_ref().map(|authority| authority.subject.as_str()),
            "endpoints": compared,
        });
        serde_json::to_writer(&mut out, &record)?;
        writeln!(out)?;
    } else {
        write_text(&compared, authority.as_ref(), &mut out)?;
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
