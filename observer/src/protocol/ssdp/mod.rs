//! SSDP (UPnP Device Architecture 2.0 §1): HTTP's heads in datagrams by which devices find one another. Recognised; what a
//! device says of its software is said.

use super::glance::Glance;
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Protocol, Worth, property};
use crate::decode::Transport;
use crate::flow::Data;

/// The name of its layer.
const NAME: &str = "ssdp";

/// SSDP in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    let starts = |start: &str| input.bytes.starts_with(start.as_bytes());
    let answers = || header(input.bytes, "usn").is_some() && header(input.bytes, "st").is_some();
    let asks = starts("M-SEARCH * HTTP/1.1\r\n") || starts("NOTIFY * HTTP/1.1\r\n");
    if asks || (starts("HTTP/1.1 200 ") && answers()) { Probe::Match } else { Probe::NoMatch }
}

fn analyzer() -> Box<dyn Analyzer> {
    Glance::boxed(look)
}

fn look(data: Data<'_>, cx: &mut Context<'_>) {
    for (field, name) in [("server", "server"), ("user-agent", "user_agent")] {
        if let Some(value) = header(data.bytes, field) {
            cx.say(Fact::Property(Box::new(property::Fact::new(NAME, name, &value))));
        }
    }
}

/// The value of a header field; its name is in lower case.
fn header(datagram: &[u8], name: &str) -> Option<String> {
    let mut lines = datagram.split(|byte| *byte == b'\n').skip(1);
    lines.find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (field, value) = line.split_once(':')?;
        field.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    #[test]
    fn a_search_and_its_answer_are_recognised() {
        let search = "M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nUSER-AGENT: a/1\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\nServer: b/2\r\n\r\n";
        let played = play(Transport::Udp, 1900, &[send(REQUEST, search), send(RESPONSE, answer)]);
        assert_eq!((played.layers.as_slice(), played.facts().len()), (["ssdp"].as_slice(), 2));
        assert_eq!(play(Transport::Udp, 9999, &[send(REQUEST, answer)]).layers, ["ssdp"]);
        let other = "HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(play(Transport::Udp, 1900, &[send(REQUEST, other)]).layers, ["unknown"]);
    }
}
