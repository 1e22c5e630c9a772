//! What the integration tests share: runs of the pipeline, and a short way to write down what came out.

#[cfg(target_os = "linux")]
pub mod adbd;

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use observer::pipeline::{self, Options};
use observer::report::Run;
use observer::report::json::FlowLog;
use observer::report::secrets::Secrets;
use observer::source::Source;
use observer::trust::TrustStore;
use serde_json::Value;

/// Says loudly that `test` is skipped and why, and adds a line to the file that `SKIPPED_TESTS` names, if it is set.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    // Not `eprintln`: a test that passes keeps that to itself.
    let said = std::io::stderr().write_all(line.as_bytes());
    let counted = std::env::var_os("SKIPPED_TESTS").map(|path| {
        std::fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(line.as_bytes())
    });
    assert!(said.is_ok() && !matches!(counted, Some(Err(_))), "cannot say: {line}");
}

/// Options as for `observer analyze --ca captures/certificates/lab-root.pem`.
///
/// # Errors
/// When the lab's root cannot be read.
pub fn options(threads: usize) -> Result<Options, Box<dyn Error>> {
    let mut trust = TrustStore::default();
    trust.add_file(&observer_captures::roots())?;
    Ok(Options { threads, trust: Arc::new(trust), ..Options::default() })
}

/// Runs `source` and renders JSON Lines.
///
/// # Errors
/// Those of the run.
pub fn analyze(source: Box<dyn Source>, options: &Options) -> Result<(Run, Vec<u8>), Box<dyn Error>> {
    let mut log = FlowLog::new(Secrets::default())?;
    let run = pipeline::analyze(source, options, &mut [&mut log], &mut |_, _| {})?;
    let mut out = Vec::new();
    log.render_lines(&run, &mut out)?;
    Ok((run, out))
}

/// Rewrites JSON Lines as one short block a flow, finding and verdict on CL MSS, with times relative to the first frame.
///
/// # Errors
/// When a line is not JSON.
pub fn digest(lines: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line)?;
        match text(&record, "/type").as_str() {
            "flow" => flow(&record, &mut out),
            "finding" => writeln!(
                out,
                "{} {} {}: {} {:?}",
                text(&record, "/rule/severity"),
                text(&record, "/rule/confidence"),
                text(&record, "/rule/id"),
                text(&record, "/message"),
                list(&record, "/frames"),
            )?,
            "verdict" if text(&record, "/requirement").starts_with("cl-mss:") => {
                let judgement = text(&record, "/verdict");
                if !matches!(judgement.as_str(), "not_observable" | "not_exercised") {
                    writeln!(out, "{} {judgement}", text(&record, "/requirement"))?;
                }
            }
            "summary" => {
                for key in ["dropped", "malformed", "skipped"] {
                    if let Some(Value::Object(counts)) = record.get(key) {
                        for (name, count) in counts.iter().filter(|(_, count)| count.as_u64() != Some(0)) {
                            writeln!(out, "{key} {name}: {count}")?;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(out)
}

fn flow(record: &Value, out: &mut String) {
    let mut line = |text: String| out.push_str(&text);
    let end = |side: &str| match record.pointer(&format!("/{side}/port")) {
        Some(port) => format!("{}:{port}", text(record, &format!("/{side}/ip"))),
        None => text(record, &format!("/{side}/ip")),
    };
    line(format!(
        "{} {} > {} {} {} frames {}-{}",
        text(record, "/network/transport"),
        end("source"),
        end("destination"),
        list(record, "/network/layers").join("/"),
        text(record, "/network/protection"),
        text(record, "/frames/first"),
        text(record, "/frames/last"),
    ));
    for (name, pointer) in [
        ("tcp", "/tcp/state"),
        ("host", "/destination/domain"),
        ("by", "/destination/domain_basis"),
        ("tunnel", "/network/tunnel"),
        ("uid", "/owner/uid"),
        ("package", "/owner/package"),
        ("process", "/owner/process"),
        ("gaps", "/tcp/gaps"),
        ("retransmissions", "/tcp/retransmissions"),
    ] {
        let value = text(record, pointer);
        if !value.is_empty() && value != "0" {
            line(format!(" {name}={value}"));
        }
    }
    line("\n".to_owned());
    if let Some(tls) = record.get("tls") {
        line(format!(
            "  {} {} {} {} {} established={} resumed={} client_certificate={} requested={}\n",
            text(tls, "/version_protocol"),
            text(tls, "/version"),
            text(tls, "/cipher"),
            text(tls, "/curve"),
            text(tls, "/next_protocol"),
            text(tls, "/established"),
            text(tls, "/resumed"),
            text(tls, "/client/certificate"),
            text(tls, "/server/certificate_requested"),
        ));
        let reading = text(tls, "/client/certificate_evidence/reading");
        if !reading.is_empty() {
            let packets = tls.pointer("/client/certificate_evidence/client_packets");
            let packets: Vec<_> = (packets.and_then(Value::as_array).into_iter().flatten())
                .map(|packet| text(packet, "/len") + if packet["padded"] == true { "(padded)" } else { "" })
                .collect();
            line(format!(
                "  records {}{} > {} {reading} ({})\n",
                list(tls, "/client/certificate_evidence/client_records").join(","),
                packets.join(","),
                list(tls, "/client/certificate_evidence/server_records").join(","),
                text(tls, "/client/certificate_confidence"),
            ));
        }
        for (name, pointer) in [
            ("accepted", "/client/accepted_server"),
            ("rejected", "/client/rejected_server/shape"),
            ("turned away by the server", "/server/rejected_client/shape"),
        ] {
            if !text(tls, pointer).is_empty() {
                line(format!("  {name}={}\n", text(tls, pointer)));
            }
        }
        line(format!(
            "  client {} ja3={} ja4={} ech={}\n",
            list(tls, "/client/supported_versions").join(","),
            text(tls, "/client/ja3"),
            text(tls, "/client/ja4"),
            text(tls, "/client/ech"),
        ));
        for pointer in ["/server/certificate_chain", "/client/certificate_chain"] {
            for certificate in tls.pointer(pointer).and_then(Value::as_array).into_iter().flatten() {
                line(format!(
                    "  {} {} {} {}\n",
                    pointer.trim_start_matches('/').replace("/certificate_chain", ":"),
                    text(certificate, "/subject"),
                    text(certificate, "/public_key/bits"),
                    text(certificate, "/signature_algorithm"),
                ));
            }
        }
        for alert in tls.get("alerts").and_then(Value::as_array).into_iter().flatten() {
            line(format!(
                "  alert {} {} {}\n",
                text(alert, "/from"),
                text(alert, "/description"),
                text(alert, "/frame")
            ));
        }
    }
    if let Some(quic) = record.get("quic") {
        let mut flags = String::new();
        for flag in ["retry", "token", "zero_rtt"].iter().filter(|flag| quic[**flag] == true) {
            flags.push(' ');
            flags.push_str(flag);
        }
        let [version, first] = [text(quic, "/version"), text(quic, "/first_version")];
        line(format!(
            "  quic {version} first={first} server={}{flags}\n",
            list(quic, "/server_versions").join(",")
        ));
        if let Some(continues) = quic.get("continues") {
            let [flow, frame] = ["/flow", "/first_frame"].map(|key| text(continues, key));
            line(format!("  continues flow {flow} from frame {frame}\n"));
        }
        if let Some(close) = quic.get("close") {
            let [by, from, name] = ["/by", "/from", "/name"].map(|key| text(close, key));
            line(format!("  close {by} {from} {} {name} {}\n", text(close, "/code"), text(close, "/reason")));
        }
    }
    if let Some(proxy) = record.get("proxy") {
        line(format!(
            "  proxy {} {}:{} granted={}\n",
            text(proxy, "/protocol"),
            text(proxy, "/host"),
            text(proxy, "/port"),
            text(proxy, "/granted")
        ));
    }
    for upgrade in record.get("upgrades").and_then(Value::as_array).into_iter().flatten() {
        line(format!(
            "  upgrade {} {} {}\n",
            text(upgrade, "/protocol"),
            text(upgrade, "/step"),
            text(upgrade, "/frame")
        ));
    }
    for login in record.get("logins").and_then(Value::as_array).into_iter().flatten() {
        line(format!(
            "  login {} {} {} {}\n",
            text(login, "/protocol"),
            text(login, "/mechanism"),
            text(login, "/exposure"),
            text(login, "/frame")
        ));
    }
    if let Some(sample) = record.get("unrecognised") {
        line(format!(
            "  unrecognised {} {} items={} bits={} sampled={}\n",
            text(sample, "/likeness"),
            text(sample, "/kind"),
            text(sample, "/evidence_items"),
            text(sample, "/evidence_bits"),
            text(sample, "/sampled")
        ));
    }
    for (protocol, values) in record.get("properties").and_then(Value::as_object).into_iter().flatten() {
        line(format!("  {protocol} {values}\n"));
    }
    for (protocol, bases) in record.get("properties_basis").and_then(Value::as_object).into_iter().flatten() {
        line(format!("  {protocol} basis {bases}\n"));
    }
    for http in record.get("http").and_then(Value::as_array).into_iter().flatten() {
        line(format!(
            "  http {} {} {} {}\n",
            text(http, "/method"),
            text(http, "/host"),
            text(http, "/path"),
            text(http, "/status_code")
        ));
    }
    for dns in record.get("dns").and_then(Value::as_array).into_iter().flatten() {
        let answers = dns.get("answers").and_then(Value::as_array).map_or(0, Vec::len);
        line(format!(
            "  dns {} {} {} {answers} answers\n",
            text(dns, "/question/type"),
            text(dns, "/question/name"),
            text(dns, "/response_code")
        ));
    }
}

/// The value at a JSON pointer as text; empty where there is none.
fn text(record: &Value, pointer: &str) -> String {
    match record.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The strings of the array at a JSON pointer.
fn list(record: &Value, pointer: &str) -> Vec<String> {
    let values = record.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
}
