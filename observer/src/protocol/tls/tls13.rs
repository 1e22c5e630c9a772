//! What the lengths of TLS 1.3's encrypted records say for certain.
//!
//! Handshake and data look alike on the wire (RFC 9846 §5.2), but their keys differ, so that no record holds both, and
//! Finished has the length of the suite's hash. A record of `n` bytes of content is `n + 1 + tag` long; JSSE pads by 16.
//! Nothing here infers client certificates or refusals: the lengths are kept for those who do.

use super::CipherSuite;
use super::suite::CipherMode;

/// Records of a side whose lengths are kept.
const KEPT: usize = 16;

/// Messages of the client's flight: Certificate, CertificateVerify, Finished.
const FLIGHT: u32 = 3;

/// Records after the client's Finished that the server's tickets may take.
const TICKETS: u32 = 4;

/// Bytes of a record that is full; messages longer than that go on in the next.
const FULL: u16 = 1 << 14;

/// What a record shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// The first record of the side's handshake.
    Handshake,
    /// An alert where no other message is so short.
    Alert,
    /// Application data.
    Data,
}

/// What is known of the handshake when a record comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The suite of the ServerHello.
    pub(super) suite: Option<CipherSuite>,
    /// The client announced 0-RTT data: its first records are not of the handshake.
    pub(super) early_data: bool,
    /// The client's Finished went by.
    pub(super) client_finished: bool,
    /// The client's data went by.
    pub(super) client_data: bool,
}

/// The encrypted records of one side.
#[derive(Debug, Default)]
pub(super) struct EncryptedSide {
    lengths: [u16; KEPT],
    kept: u8,
    count: u32,
    handshake: bool,
    finished: bool,
    in_flight: u32,
    after_finished: u32,
    /// The last record was as short as an alert: data only if more follows.
    short: bool,
    data: bool,
}

impl EncryptedSide {
    /// Lengths of the first records.
    pub(super) fn lengths(&self) -> &[u16] {
        self.lengths.get(..usize::from(self.kept)).unwrap_or_default()
    }

    /// Whether that is all of them.
    pub(super) fn kept_all(&self) -> bool {
        self.count == u32::from(self.kept)
    }

    /// How many records there were.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether the side's Finished went by.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// Takes the client's next record.
    pub(super) fn client(&mut self, len: u16, known: Known) -> [Option<Shows>; 2] {
        self.keep(len);
        let tag = tag(known.suite);
        if self.finished {
            return [None, self.data_after(len, tag)];
        }
        let ends = is_finished(len, tag, known.suite);
        if known.early_data {
            // EndOfEarlyData, or the Finished where the server refused the early data.
            let over = ends || plain(len, tag).any(|content| content == 4);
            let first = (over && !self.handshake).then_some(Shows::Handshake);
            self.handshake |= over;
            self.finished |= ends;
            return [first, None];
        }
        if !self.handshake && is_alert(len, tag) {
            return [Some(Shows::Alert), None];
        }
        let first = (!self.handshake).then_some(Shows::Handshake);
        self.handshake = true;
        self.in_flight = self.in_flight.saturating_add(u32::from(len <= FULL));
        self.finished = ends || self.in_flight > FLIGHT;
        // Where the flight came in one record, the fourth is the first that cannot be of it.
        let data = if ends || !self.finished { None } else { self.data_after(len, tag) };
        [first, data]
    }

    /// Takes the server's next record.
    pub(super) fn server(&mut self, len: u16, known: Known) -> [Option<Shows>; 2] {
        self.keep(len);
        let tag = tag(known.suite);
        if !self.handshake {
            if is_alert(len, tag) {
                return [Some(Shows::Alert), None];
            }
            self.handshake = true;
            return [Some(Shows::Handshake), None];
        }
        if known.client_finished {
            self.after_finished = self.after_finished.saturating_add(1);
        }
        let data = known.client_data || self.after_finished > TICKETS;
        [None, data.then(|| self.data_after(len, tag)).flatten()]
    }

    fn data_after(&mut self, len: u16, tag: u16) -> Option<Shows> {
        if self.data {
            return None;
        }
        if is_alert(len, tag) && !self.short {
            self.short = true;
            return None;
        }
        self.data = true;
        Some(Shows::Data)
    }

    fn keep(&mut self, len: u16) {
        self.count = self.count.saturating_add(1);
        if let Some(place) = self.lengths.get_mut(usize::from(self.kept)) {
            *place = len;
            self.kept = self.kept.saturating_add(1);
        }
    }
}

/// Bytes of the tag: 16 but for `CCM_8`.
pub(super) fn tag(suite: Option<CipherSuite>) -> u16 {
    let mode = suite.and_then(CipherSuite::properties).map(|properties| properties.mode);
    if mode == Some(CipherMode::AeadShortTag) { 8 } else { 16 }
}

/// How many bytes of content a record may hold: without padding, and with JSSE's.
fn plain(len: u16, tag: u16) -> impl Iterator<Item = u16> {
    let content = len.checked_sub(tag).and_then(|rest| rest.checked_sub(1));
    content.into_iter().chain(content.and_then(|content| content.checked_sub(16)))
}

fn is_alert(len: u16, tag: u16) -> bool {
    plain(len, tag).any(|content| content == 2)
}

fn is_finished(len: u16, tag: u16, suite: Option<CipherSuite>) -> bool {
    let known = suite.and_then(finished);
    plain(len, tag).any(|content| known.map_or(matches!(content, 36 | 52), |known| known == content))
}

/// Bytes of a Finished message: a header and the suite's hash.
pub(super) fn finished(suite: CipherSuite) -> Option<u16> {
    match suite.name()?.rsplit('_').next()? {
        "SHA256" | "SM3" => Some(36),
        "SHA384" => Some(52),
        "SHA512" => Some(68),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA384: Known = Known {
        suite: Some(CipherSuite(0x1302)),
        early_data: false,
        client_finished: false,
        client_data: false,
    };

    fn client(lengths: &[u16], known: Known) -> Vec<Option<Shows>> {
        let mut side = EncryptedSide::default();
        lengths.iter().flat_map(|len| side.client(*len, known)).filter(Option::is_some).collect()
    }

    #[test]
    fn finished_and_then_data() {
        assert_eq!(client(&[69, 120], SHA384), [Some(Shows::Handshake), Some(Shows::Data)]);
        // Certificate, CertificateVerify, Finished, data.
        assert_eq!(client(&[408, 97, 69, 120], SHA384), [Some(Shows::Handshake), Some(Shows::Data)]);
    }

    #[test]
    fn closing_at_once_is_no_data() {
        assert_eq!(client(&[69, 19], SHA384), [Some(Shows::Handshake)]);
        assert_eq!(client(&[69, 19, 19], SHA384), [Some(Shows::Handshake), Some(Shows::Data)]);
    }

    #[test]
    fn an_alert_instead_of_a_flight() {
        assert_eq!(client(&[19], SHA384), [Some(Shows::Alert)]);
        assert_eq!(client(&[35], SHA384), [Some(Shows::Alert)]);
    }

    #[test]
    fn a_flight_in_one_record_hides_where_data_begins() {
        assert_eq!(client(&[539, 80, 80], SHA384), [Some(Shows::Handshake)]);
        assert_eq!(client(&[539, 80, 80, 80], SHA384), [Some(Shows::Handshake), Some(Shows::Data)]);
    }

    #[test]
    fn early_data_is_not_the_handshake() {
        let known = Known { early_data: true, ..SHA384 };
        assert_eq!(client(&[400, 400, 21, 69, 50], known), [Some(Shows::Handshake), Some(Shows::Data)]);
    }

    #[test]
    fn tickets_are_not_data() {
        let mut side = EncryptedSide::default();
        let mut say = |len, client_data| {
            let known = Known { client_finished: true, client_data, ..SHA384 };
            side.server(len, known)
        };
        assert_eq!(say(900, false), [Some(Shows::Handshake), None]);
        assert_eq!(say(255, false), [None, None]);
        assert_eq!(say(255, false), [None, None]);
        assert_eq!(say(1000, true), [None, Some(Shows::Data)]);
    }
}
