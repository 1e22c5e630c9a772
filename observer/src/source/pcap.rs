//! Classic pcap files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FrameBatch, FrameRecord, InputSummary, LinkType, Source, SourceError};
use crate::bytes::Reader;
use crate::time::Timestamp;

/// Bytes asked of the operating system at once.
const BLOCK: usize = 1 << 20;

pub(super) fn open(paths: &[PathBuf]) -> Result<Box<dyn Source>, SourceError> {
    let path = paths.first().map_or_else(|| Path::new("-"), PathBuf::as_path);
    let name = path.display().to_string();
    let mut file = File::open(path).map_err(|source| SourceError::Io { path: name.clone(), source })?;
    let mut header = [0; 24];
    file.read_exact(&mut header).map_err(|source| SourceError::Io { path: name.clone(), source })?;
    let link_type = u16::from_le_bytes([header[20], header[21]]);
    let input = InputSummary { path: name, format: "pcap".into(), ..InputSummary::default() };
    Ok(Box::new(PcapSource {
        file,
        link_type: LinkType(link_type),
        tail: Vec::new(),
        number: 0,
        offset: 24,
        input,
    }))
}

struct PcapSource {
    file: File,
    link_type: LinkType,
    tail: Vec<u8>,
    number: u64,
    offset: u64,
    input: InputSummary,
}

impl Source for PcapSource {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        let mut bytes = std::mem::take(&mut self.tail);
        let had = bytes.len();
        (&mut self.file)
            .take(BLOCK as u64)
            .read_to_end(&mut bytes)
            .map_err(|source| SourceError::Io { path: self.input.path.clone(), source })?;
        if bytes.len() == had {
            self.input.truncated = had > 0;
            return Ok(None);
        }
        let mut frames = Vec::new();
        let mut reader = Reader::new(&bytes);
        let mut complete = 0;
        while let Ok(header) = reader.take(16, "record header") {
            let mut header = Reader::new(header);
            let mut word = || header.u32_le("record header").unwrap_or_default();
            let (seconds, micros, captured, original_len) = (word(), word(), word(), word());
            let start = reader.position();
            if reader.take(captured as usize, "record").is_err() {
                break;
            }
            complete = reader.position();
            self.number += 1;
            frames.push(FrameRecord {
                number: self.number,
                timestamp: Timestamp::new(i64::from(seconds), i64::from(micros) * 1000),
                link_type: self.link_type,
                interface: 0,
                original_len,
                buffer: 0,
                range: u32::try_from(start).unwrap_or(0)..u32::try_from(complete).unwrap_or(0),
                annotations: None,
            });
        }
        self.tail = bytes.split_off(complete);
        self.offset += complete as u64;
        self.input.frames = self.number;
        self.input.link_types = vec![self.link_type];
        if let (Some(first), Some(last)) = (frames.first(), frames.last()) {
            self.input.first = self.input.first.or(Some(first.timestamp));
            self.input.last = Some(last.timestamp);
        }
        Ok(Some(FrameBatch { buffers: vec![Arc::new(bytes)], frames, metadata: Vec::new() }))
    }

    fn inputs(&self) -> Vec<InputSummary> {
        vec![self.input.clone()]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.offset, self.file.metadata().ok().map(|metadata| metadata.len()))
    }
}
