//! Link layers.

use super::Skip;
use crate::bytes::Reader;
use crate::source::Frame;

pub(super) fn network_layer<'a>(frame: &Frame<'a>) -> Result<&'a [u8], Skip> {
    let mut reader = Reader::new(frame.data);
    match frame.link_type.0 {
        1 => {
            let truncated = |_| Skip::Truncated("ethernet");
            reader.take(12, "addresses").map_err(truncated)?;
            match reader.u16("ethertype").map_err(truncated)? {
                0x0800 | 0x86dd => Ok(reader.rest()),
                other => Err(Skip::EtherType(other)),
            }
        }
        12 | 14 | 101 | 228 | 229 => Ok(frame.data),
        other => Err(Skip::LinkType(other)),
    }
}
