//! Owners that link layers state, one allocation for equal ones.
//!
//! Thousands of frames name the same few owners: each is made once and shared.

use std::collections::HashMap;
use std::str;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::source::{Dialect, RecordedOwner};

/// Owners that are remembered; a phone has a few hundred apps. When there are more, all are forgotten and made anew.
const MAX_OWNERS: usize = 4096;

/// The owners made so far.
#[derive(Debug, Default)]
pub(super) struct Owners {
    known: HashMap<Stated, Arc<RecordedOwner>, RandomState>,
}

/// An owner as the bytes state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stated {
    pub(super) dialect: Dialect,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) pid: Option<u32>,
    /// A process' name (PKTAP) or an app's label (PCAPdroid), padded with zeros.
    pub(super) name: [u8; 20],
}

impl Owners {
    /// The owner that `stated` names; `None` when it names nobody.
    pub(super) fn intern(&mut self, stated: Stated) -> Option<Arc<RecordedOwner>> {
        if let Some(known) = self.known.get(&stated) {
            return Some(Arc::clone(known));
        }
        let name = name(&stated.name);
        if stated.uid.is_none() && stated.gid.is_none() && stated.pid.is_none() && name.is_none() {
            return None;
        }
        let (process, label) = match stated.dialect {
            Dialect::Pcapdroid => (None, name),
            _ => (name, None),
        };
        let (uid, gid, pid) = (stated.uid, stated.gid, stated.pid);
        let owner =
            Arc::new(RecordedOwner { uid, gid, pid, process, label, ..RecordedOwner::new(stated.dialect) });
        if self.known.len() >= MAX_OWNERS {
            self.known.clear();
        }
        self.known.insert(stated, Arc::clone(&owner));
        Some(owner)
    }
}

/// The text up to the first zero; a last character that the field cuts in two is left out.
fn name(field: &[u8]) -> Option<String> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = match str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => text.get(..error.valid_up_to()).unwrap_or_default(),
        _ => text,
    };
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}
