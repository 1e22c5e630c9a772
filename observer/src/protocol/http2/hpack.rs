//! Header compression ([RFC 7541](https://datatracker.ietf.org/doc/html/rfc7541)), the reading half.

use std::collections::VecDeque;

use httlib_huffman::DecoderSpeed;

use super::table::STATIC;
use crate::bytes::{ParseError, Reader};

/// The size of a dynamic table before anybody says otherwise (RFC 9113 §6.5.2), in octets as §4.1 counts them.
const DEFAULT_TABLE: usize = 4096;
/// The size that a peer may ask for. Browsers allow 64 KiB; a table that needs more is not followed.
const MAX_TABLE: usize = 64 << 10;
/// Octets of the fields of a block, as §4.1 counts them. An octet of a block can stand for a whole table: without a bound
/// a block of 64 KiB unpacks to 4 GiB. Servers allow header lists of 8 to 64 KiB.
const MAX_LIST: usize = 1 << 20;
/// What an entry costs beside its octets (§4.1).
const ENTRY: usize = 32;

/// One direction's header compression state.
#[derive(Debug)]
pub(super) struct Decoder {
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Of the entries; at most `limit`.
    size: usize,
    /// At most [`MAX_TABLE`].
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: DEFAULT_TABLE }
    }
}

impl Decoder {
    /// Reads a whole header block and hands over its fields in order.
    ///
    /// A setting that lowers the table's size obliges the encoder to say so in its next block (§4.2), and one that raises
    /// it has no effect before it does: the settings need not be known.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), ParseError> {
        let mut reader = Reader::new(block);
        let mut room = MAX_LIST;
        let mut field = |name: &[u8], value: &[u8]| {
            room = room.checked_sub(cost(name, value))?;
            field(name, value);
            Some(())
        };
        while let Some(first) = reader.peek().first().copied() {
            match first {
                0x80.. => {
                    let index = integer(&mut reader, 0x7f)?;
                    let (name, value) = self.get(index).ok_or_else(|| reader.invalid("header index"))?;
                    field(name, value).ok_or_else(|| reader.invalid("header list size"))?;
                }
                0x40.. => {
                    let (name, value) = self.literal(&mut reader, 0x3f)?;
                    field(&name, &value).ok_or_else(|| reader.invalid("header list size"))?;
                    self.insert(name, value);
                }
                0x20.. => {
                    let limit = integer(&mut reader, 0x1f)?;
                    if limit > MAX_TABLE {
                        return Err(reader.invalid("header table size"));
                    }
                    self.limit = limit;
                    self.evict();
                }
                _ => {
                    let (name, value) = self.literal(&mut reader, 0x0f)?;
                    field(&name, &value).ok_or_else(|| reader.invalid("header list size"))?;
                }
            }
        }
        Ok(())
    }

    fn literal(&self, reader: &mut Reader<'_>, mask: u8) -> Result<(Vec<u8>, Vec<u8>), ParseError> {
        let name = match integer(reader, mask)? {
            0 => string(reader)?,
            index => self.get(index).ok_or_else(|| reader.invalid("header index"))?.0.to_vec(),
        };
        Ok((name, string(reader)?))
    }

    /// The entry of both tables (§2.3.3).
    fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.as_bytes(), value.as_bytes())),
            None => {
                let (name, value) = self.entries.get(index.checked_sub(STATIC.len())?)?;
                Some((name, value))
            }
        }
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.size = self.size.saturating_add(cost(&name, &value));
        self.entries.push_front((name, value));
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some((name, value)) = self.entries.pop_back() else { break };
            self.size = self.size.saturating_sub(cost(&name, &value));
        }
    }
}

fn cost(name: &[u8], value: &[u8]) -> usize {
    name.len().saturating_add(value.len()).saturating_add(ENTRY)
}

/// An integer whose first bits share an octet with something else (§5.1), below 2^28.
fn integer(reader: &mut Reader<'_>, mask: u8) -> Result<usize, ParseError> {
    let prefix = reader.u8("header integer")? & mask;
    let mut value = usize::from(prefix);
    if prefix < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let octet = reader.u8("header integer")?;
        value = value.saturating_add(usize::from(octet & 0x7f) << shift);
        if octet & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(reader.invalid("header integer"))
}

/// A string, as it is or in the Huffman code (§5.2).
fn string(reader: &mut Reader<'_>) -> Result<Vec<u8>, ParseError> {
    let coded = reader.peek().first().is_some_and(|first| first & 0x80 != 0);
    let len = integer(reader, 0x7f)?;
    let bytes = reader.take(len, "header string")?;
    if !coded {
        return Ok(bytes.to_vec());
    }
    let mut text = Vec::with_capacity(bytes.len().saturating_mul(2));
    let decoded = httlib_huffman::decode(bytes, &mut text, DecoderSpeed::FourBits);
    if decoded.is_ok() { Ok(text) } else { Err(reader.invalid("header string")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, ParseError> {
        let mut found = Vec::new();
        decoder.decode(block, |name, value| {
            found.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        })?;
        Ok(found)
    }

    /// RFC 7541 C.4: three requests of one connection.
    #[test]
    fn requests_of_one_connection_share_a_table() {
        let mut decoder = Decoder::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let request = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(fields(&mut decoder, first).unwrap(), request);
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        assert_eq!(fields(&mut decoder, second).unwrap()[3..], [request[3], "cache-control: no-cache"]);
        let third =
            b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
        assert_eq!(fields(&mut decoder, third).unwrap()[4], "custom-key: custom-value");
        assert_eq!((decoder.size, decoder.entries.len()), (164, 3));
        assert_eq!(fields(&mut decoder, b"\x20").unwrap(), [""; 0]);
        assert_eq!((decoder.size, decoder.entries.len()), (0, 0));
    }

    #[test]
    fn tables_and_integers_are_bounded() {
        let mut decoder = Decoder::default();
        for block in [
            b"\x80".as_slice(),
            b"\xbe",
            b"\x3f\xff\xff\xff\x01",
            b"\xff\xff\xff\xff\xff\xff",
            b"\x40",
            b"\x00\x05a",
        ] {
            assert!(fields(&mut decoder, block).is_err(), "{block:?}");
        }
        for _ in 0..1000 {
            fields(&mut decoder, b"\x40\x01a\x01b").unwrap();
        }
        assert!(decoder.size <= DEFAULT_TABLE && decoder.entries.len() == DEFAULT_TABLE / 34);
    }

    #[test]
    fn an_octet_does_not_unpack_to_a_table_for_ever() {
        let mut decoder = Decoder::default();
        let value = vec![b'a'; 3000];
        // A literal of 3000 octets (an integer of 7 bits and then 2873 in two more), and references to it.
        let literal = [b"\x40\x01n\x7f\xb9\x16".as_slice(), &value].concat();
        assert_eq!(fields(&mut decoder, &literal).unwrap(), [format!("n: {}", "a".repeat(3000))]);
        assert_eq!(fields(&mut decoder, &[0xbe; 300]).unwrap().len(), 300);
        assert_eq!(fields(&mut decoder, &[0xbe; 400]).unwrap_err().field(), "header list size");
    }

    proptest! {
        #[test]
        fn any_block_is_read_without_a_panic(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let _ = fields(&mut decoder, &block);
                prop_assert!(decoder.size <= decoder.limit);
            }
        }

        #[test]
        fn any_huffman_string_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let block = [&[0, 1, b'a', 0x80 | u8::try_from(bytes.len()).unwrap()], bytes.as_slice()].concat();
            let _ = fields(&mut Decoder::default(), &block);
        }
    }
}
