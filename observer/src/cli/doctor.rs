//! `observer doctor`: what this system lets a capture do.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::{FAILED, INCONCLUSIVE};
use crate::doctor::{self, Answer, Capability, Diagnosis, Extent, Topic};
use crate::report::plain::plain;

/// Find out what a capture can do on this system, and what is in its way
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The form of the answers
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
}

/// The form of answers.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

const HELP: &str = "\
Every capability is tried, and nothing is changed by that. Run it as you run a
capture: the answers are those for this user.

Exit codes:
  0  a capture works, and knows the app of every flow
  3  a capture is not possible
  4  a capture works, but polls for the apps of flows, or does not know them

Examples:
  sudo observer doctor
  adb shell su 0 /data/local/tmp/observer doctor
  observer doctor --format json | jq '.capabilities[] | select(.state == \"no\")'";

/// The width of a line at most, in characters.
const WIDTH: usize = 80;

/// Where names begin, after `yes` or `no`.
const NAME: usize = 4;

/// Where values begin.
const VALUE: usize = 26;

/// How far parts are indented below their capability.
const ITEM: usize = 2;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let diagnosis = doctor::examine();
    let mut out = BufWriter::new(anstream::stdout().lock());
    match arguments.format {
        Format::Text => write_text(&diagnosis, width(), &mut out)?,
        Format::Json => write_json(&diagnosis, &mut out)?,
    }
    out.flush()?;
    Ok(match diagnosis.extent() {
        Extent::Full => ExitCode::SUCCESS,
        Extent::Degraded => ExitCode::from(INCONCLUSIVE),
        Extent::None => ExitCode::from(FAILED),
    })
}

/// The terminal's width, but no more than reads well.
pub(super) fn width() -> usize {
    let columns = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    let terminal = if io::stdout().is_terminal() { columns().filter(|columns| *columns > 0) } else { None };
    terminal.unwrap_or(WIDTH).clamp(VALUE.saturating_add(20), WIDTH)
}

fn write_json(diagnosis: &Diagnosis, out: &mut dyn Write) -> anyhow::Result<()> {
    let extent = match diagnosis.extent() {
        Extent::Full => "full",
        Extent::Degraded => "degraded",
        Extent::None => "none",
    };
    let answer = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "capture": extent,
        "attribution": diagnosis.attribution,
        "capabilities": diagnosis.capabilities,
    });
    writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    Ok(())
}

fn write_text(diagnosis: &Diagnosis, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let bold = Style::new().bold();
    let mut topic = None;
    for capability in &diagnosis.capabilities {
        if capability.answer == Answer::Absent {
            continue;
        }
        if topic.replace(capability.topic) != Some(capability.topic) {
            let gap = if topic.is_some() && capability.topic != Topic::System { "\n" } else { "" };
            writeln!(out, "{gap}{bold}{}{bold:#}", heading(capability.topic))?;
        }
        write_capability(capability, width, out)?;
    }
    writeln!(out)?;
    if diagnosis.extent() == Extent::None {
        write_wrapped("", "A capture is not possible.", 0, width, out)?;
    }
    let methods = match diagnosis.attribution.methods.as_slice() {
        [] => "nothing".to_owned(),
        methods => methods.join(" and "),
    };
    let choice = format!("--attribution auto chooses {methods}: {}.", plain(&diagnosis.attribution.reason));
    write_wrapped("", &choice, 0, width, out)
}

fn heading(topic: Topic) -> &'static str {
    match topic {
        Topic::System => "System",
        Topic::Bpf => "Kernel programs (eBPF)",
        Topic::Capture => "Capture",
        Topic::Sockets => "Lists of sockets",
        Topic::Android => "Android",
        Topic::Network => "Network",
    }
}

fn write_capability(capability: &Capability, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (word, style, text) = match &capability.answer {
        Answer::Yes { value } => ("yes", AnsiColor::Green.on_default(), value.clone()),
        Answer::No { errno: Some(errno), reason, .. } => {
            ("no", AnsiColor::Red.on_default(), format!("{errno}: {reason}"))
        }
        Answer::No { errno: None, reason, .. } => ("no", AnsiColor::Red.on_default(), reason.clone()),
        Answer::Fact { value } => ("", Style::new(), value.clone()),
        Answer::Unknown { reason } => ("?", AnsiColor::Yellow.on_default(), reason.clone()),
        Answer::Absent => return Ok(()),
    };
    let after_name = VALUE.saturating_sub(NAME);
    let word_width = NAME.saturating_sub(1);
    let head = format!("{style}{word:<word_width$}{style:#} {:<after_name$}", capability.name);
    write_wrapped(&head, &plain(&text), VALUE, width, out)?;
    for item in &capability.items {
        let indent = NAME.saturating_add(ITEM);
        let name = plain(&item.name);
        let after_name = VALUE.saturating_sub(indent);
        write_wrapped(&format!("{:indent$}{name:<after_name$}", ""), &plain(&item.value), VALUE, width, out)?;
    }
    if let Answer::No { cost, .. } = &capability.answer {
        let dimmed = Style::new().dimmed();
        let head = format!("{:VALUE$}{dimmed}cost{dimmed:#} ", "");
        write_wrapped(&head, cost, VALUE.saturating_add(5), width, out)?;
    }
    Ok(())
}

/// Writes `head` and `text`, whose lines begin at the column `indent` and end before `width`.
///
/// The head is as wide as the indent, or wider: then the text begins after a blank.
pub(super) fn write_wrapped(
    head: &str,
    text: &str,
    indent: usize,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let shown = anstream::adapter::strip_str(head).to_string();
    let mut line = head.to_owned();
    let mut column = shown.chars().count();
    if column > indent {
        line.push(' ');
        column = column.saturating_add(1);
    }
    let mut empty = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !empty && column.saturating_add(1).saturating_add(length) > width {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent);
            column = indent;
            empty = true;
        }
        if !empty {
            line.push(' ');
            column = column.saturating_add(1);
        }
        line.push_str(word);
        column = column.saturating_add(length);
        empty = false;
    }
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Choice, Item};

    fn diagnosis() -> Diagnosis {
        let capability = |id, name, topic, answer, items| Capability { id, name, topic, answer, items };
        Diagnosis {
            capabilities: vec![
                capability(
                    "system.kernel",
                    "kernel",
                    Topic::System,
                    Answer::Fact { value: "Linux".to_owned() },
                    Vec::new(),
                ),
                capability(
                    "bpf.map",
                    "bpf() makes maps",
                    Topic::Bpf,
                    Answer::No {
                        errno: Some("EPERM".to_owned()),
                        reason: "needs root, or CAP_BPF, as every map does that a program keeps its flows in"
                            .to_owned(),
                        cost: "attribution by polling: short flows may be missed by it, as long ones are not",
                    },
                    Vec::new(),
                ),
                capability(
                    "capture.packet_socket",
                    "AF_PACKET",
                    Topic::Capture,
                    Answer::Yes { value: String::new() },
                    Vec::new(),
                ),
                capability(
                    "capture.libpcap",
                    "libpcap",
                    Topic::Capture,
                    Answer::Unknown { reason: "why".to_owned() },
                    Vec::new(),
                ),
                capability("android.release", "Android", Topic::Android, Answer::Absent, Vec::new()),
                capability(
                    "network.interfaces",
                    "interfaces",
                    Topic::Network,
                    Answer::Yes { value: "1 of 1 up".to_owned() },
                    vec![Item {
                        name: "an-interface-with-a-long-name".to_owned(),
                        value: "up\u{1b}[2J".to_owned(),
                    }],
                ),
            ],
            attribution: Choice { methods: vec!["sock_diag"], reason: "no kernel program".to_owned() },
        }
    }

    fn text(width: usize) -> String {
        let mut out = Vec::new();
        write_text(&diagnosis(), width, &mut out).unwrap();
        anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
    }

    #[test]
    fn text_is_aligned_and_within_its_width() {
        insta::assert_snapshot!(text(WIDTH));
        for width in [50, 60, 80] {
            let text = text(width);
            // A word that does not fit stands alone; no word here is that long.
            let long = text.lines().find(|line| line.chars().count() > width);
            assert_eq!(long, None, "{text}");
        }
    }

    #[test]
    fn json_has_an_answer_a_probe() {
        let mut out = Vec::new();
        write_json(&diagnosis(), &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["capture"], "degraded");
        assert_eq!(value["capabilities"].as_array().unwrap().len(), 6);
        assert_eq!(value["capabilities"][1]["errno"], "EPERM");
        assert_eq!(
            value["capabilities"][4],
            json!({"id": "android.release", "name": "Android", "topic": "android", "state": "absent"})
        );
        assert_eq!(value["capabilities"][5]["items"][0]["name"], "an-interface-with-a-long-name");
    }
}
