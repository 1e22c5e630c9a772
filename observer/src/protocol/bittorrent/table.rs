//! Messages of the hash table: bencoded dictionaries, the keys of which are sorted, so that each kind of message begins in
//! one way.

use super::NAME;
use crate::decode::Transport;
use crate::flow::Data;
use crate::protocol::{Analyzer, Context, Probe, ProbeInput, Progress, Protocol, Worth, property};

/// The hash table in the registry.
pub(in crate::protocol) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe: |input: &ProbeInput<'_>| {
        if message(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
    },
    analyzer: || Box::new(Table::default()) as Box<dyn Analyzer>,
    views: "",
};

/// Messages that are looked at of a flow: nodes introduce themselves before they ask for a hash.
const MAX_MESSAGES: u8 = 32;
/// Hashes that are said of a flow.
const MAX_HASHES: usize = 8;

/// What one node asks another.
#[derive(Default)]
struct Table {
    messages: u8,
    queries: Vec<&'static str>,
    hashes: Vec<[u8; 20]>,
}

impl Analyzer for Table {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        if let Some(Message::Query(query)) = message(data.bytes) {
            // That a node is there is asked by all of them.
            if query != "ping" && !self.queries.contains(&query) {
                self.queries.push(query);
                property::Fact::say(NAME, "query", query.as_bytes(), cx);
            }
            let room = self.hashes.len() < MAX_HASHES;
            if let Some(hash) = hash(data.bytes).filter(|hash| room && !self.hashes.contains(hash)) {
                self.hashes.push(hash);
                let hash = data_encoding::HEXLOWER.encode(&hash);
                property::Fact::say(NAME, "info_hash", hash.as_bytes(), cx);
            }
        }
        self.messages = self.messages.saturating_add(1);
        if self.messages < MAX_MESSAGES { Progress::NeedMore } else { Progress::Done }
    }
}

/// A message of the hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// What it asks.
    Query(&'static str),
    Answer,
}

/// Bytes of an answer in front of its dictionary that are passed over: the asker's address (BEP 42).
const ADDRESSES: [&[u8]; 2] = [b"2:ip6:", b"2:ip18:"];
/// The queries (BEP 5, BEP 44, BEP 51).
const QUERIES: [&str; 7] =
    ["ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes"];

/// What kind of message it is; `None` where it is none.
fn message(bytes: &[u8]) -> Option<Message> {
    let body = bytes.strip_prefix(b"d").filter(|_| bytes.ends_with(b"e"))?;
    if body.starts_with(b"1:ad2:id20:") {
        let asks = |query: &&&str| {
            let word = format!("1:q{}:{query}", query.len());
            body.windows(word.len()).any(|window| window == word.as_bytes())
        };
        return QUERIES.iter().find(asks).map(|query| Message::Query(query));
    }
    let behind = ADDRESSES.iter().find_map(|mark| {
        let rest = body.strip_prefix(*mark)?;
        rest.get(if mark.len() == 6 { 6 } else { 18 }..)
    });
    let answers = behind.unwrap_or(body).starts_with(b"1:rd2:id20:");
    // The kind of message is its last key, but for the sender's version.
    (answers && body.windows(6).any(|window| window == b"1:y1:r")).then_some(Message::Answer)
}

/// The hash that peers are asked for (`get_peers`) or announced for (`announce_peer`).
fn hash(bytes: &[u8]) -> Option<[u8; 20]> {
    const KEY: &[u8] = b"9:info_hash20:";
    let at = bytes.windows(KEY.len()).position(|window| window == KEY)?;
    bytes.get(at.saturating_add(KEY.len())..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    const PING: &[u8] = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";

    #[test]
    fn queries_and_hashes_are_told() {
        let answer = b"d2:ip6:\xc0\0\x02\x01\x1a\xe11:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
        assert_eq!(message(answer), Some(Message::Answer));
        let peers = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe";
        let acts = [send(REQUEST, PING), send(RESPONSE, answer), send(REQUEST, peers), send(REQUEST, peers)];
        let played = play(Transport::Udp, 6881, &acts);
        assert_eq!((played.layers.as_slice(), played.facts().len()), (["bittorrent"].as_slice(), 2));
        let said = played.said();
        let hash = data_encoding::HEXLOWER.encode(b"mnopqrstuvwxyz123456");
        assert!(said.contains("\"get_peers\"") && said.contains(&hash), "{said}");
    }

    #[test]
    fn other_dictionaries_are_not_claimed() {
        for bytes in [
            &b"d1:ad2:id20:abcdefghij0123456789e1:q4:pong1:t2:aa1:y1:qe"[..],
            b"d3:fooi1ee",
            b"de",
            b"d",
            b"",
            &PING[..20],
        ] {
            assert_eq!(message(bytes), None, "{bytes:?}");
        }
    }
}
