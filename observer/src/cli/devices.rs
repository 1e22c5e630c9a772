//! `observer devices`: the devices that adb knows, and what each can do.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::doctor::{Format, width, write_wrapped};
use super::{FAILED, INCONCLUSIVE};
use crate::android::adb::{Adb, AdbError, Listed, SpawnedAdb, find_adb};
use crate::android::device::{Device, Extent, Verdict, extent, verdicts};
use crate::report::plain::plain;

/// List the devices and emulators that adb knows, and what each can do
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// adb's client [default: that of ANDROID_HOME, else the first on the path]
    #[arg(long, value_name = "FILE")]
    adb: Option<PathBuf>,
    /// The form of the answers
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
}

const HELP: &str = "\
Each device is asked what it is. Nothing on it is changed; where there is `su`,
it is tried, and some devices ask their user about that.

Exit codes:
  0  a device can be observed in full
  3  no device is there, or none can be observed, or adb fails
  4  the best there is can be observed in part: without owners, or on the host

Examples:
  observer devices
  observer devices --format json | jq -r '.devices[].serial'";

/// A device of the list, with what it said, or why it said nothing.
struct Entry {
    listed: Listed,
    device: Result<(Device, Vec<Verdict>), AdbError>,
}

impl Entry {
    fn extent(&self) -> Extent {
        self.device.as_ref().map_or(Extent::None, |(_, verdicts)| extent(verdicts))
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let adb = SpawnedAdb::new(find_adb(arguments.adb.as_deref())?);
    let entries: Vec<_> = adb.devices()?.into_iter().map(|listed| ask(&adb, listed)).collect();
    let mut out = BufWriter::new(anstream::stdout().lock());
    match arguments.format {
        Format::Text => write_text(&entries, width(), &mut out)?,
        Format::Json => write_json(&entries, &mut out)?,
    }
    out.flush()?;
    if entries.is_empty() {
        return Err(AdbError::NoDevice.into());
    }
    let has = |wanted| entries.iter().any(|entry| entry.extent() == wanted);
    Ok(if has(Extent::Full) {
        ExitCode::SUCCESS
    } else if has(Extent::Degraded) {
        ExitCode::from(INCONCLUSIVE)
    } else {
        ExitCode::from(FAILED)
    })
}

fn ask(adb: &dyn Adb, listed: Listed) -> Entry {
    let device = listed.ready().and_then(|()| Device::ask(adb, &listed.serial)).map(|device| {
        let verdicts = verdicts(&device);
        (device, verdicts)
    });
    Entry { listed, device }
}

fn write_json(entries: &[Entry], out: &mut dyn Write) -> anyhow::Result<()> {
    let devices: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut value = json!({
                "serial": entry.listed.serial,
                "state": entry.listed.state.to_string(),
                "extent": entry.extent(),
            });
            match &entry.device {
                Ok((device, verdicts)) => {
                    value["facts"] = json!(device.facts);
                    value["root"] = json!(device.root);
                    value["verdicts"] = json!(verdicts);
                }
                Err(error) => value["problem"] = json!(error.to_string()),
            }
            value
        })
        .collect();
    let answer = json!({"version": env!("CARGO_PKG_VERSION"), "devices": devices});
    writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    Ok(())
}

/// The column in which verdicts are named, and in which their texts begin.
const NAME: usize = 6;
const TEXT: usize = 28;

fn write_text(entries: &[Entry], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (bold, red, green) =
        (Style::new().bold(), AnsiColor::Red.on_default(), AnsiColor::Green.on_default());
    for (number, entry) in entries.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        let serial = plain(&entry.listed.serial).into_owned();
        let head = format!("{bold}{serial}{bold:#} ");
        let indent = serial.chars().count().saturating_add(2);
        match &entry.device {
            Ok((device, verdicts)) => {
                write_wrapped(&head, &describe(device), indent, width, out)?;
                for verdict in verdicts {
                    let (word, style) = if verdict.works { ("yes", green) } else { ("no", red) };
                    let names = TEXT.saturating_sub(NAME);
                    let head = format!("  {style}{word:<3}{style:#} {:<names$}", verdict.name);
                    write_wrapped(&head, &plain(&verdict.text), TEXT, width, out)?;
                }
            }
            // The sentence names the device.
            Err(error) => write_wrapped("", &plain(&error.to_string()), 0, width, out)?,
        }
    }
    Ok(())
}

/// A device in a line.
fn describe(device: &Device) -> String {
    let facts = &device.facts;
    let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let mut parts = vec![
        known(facts.model.clone()),
        format!(
            "Android {} (API level {})",
            known(facts.release.clone()),
            known(facts.api_level.map(|level| level.to_string()))
        ),
        format!("{} build", facts.build_type.name()),
    ];
    if facts.emulator {
        parts.push("emulator".to_owned());
    }
    parts.extend(facts.abis.first().cloned());
    parts.extend(facts.kernel.as_ref().map(|kernel| format!("kernel {kernel}")));
    parts.extend(facts.page_size.map(|bytes| format!("pages of {bytes} bytes")));
    parts.extend(facts.selinux.as_ref().map(|mode| format!("SELinux {}", mode.to_lowercase())));
    plain(&parts.join(", ")).into_owned()
}
