//! The full handshakes of apps with hosts: what sessions that are resumed rest on.

use std::collections::HashMap;

use crate::observation::Flow;
use crate::protocol::tls::{ClientCertificate, Original};

/// What became of client certificates, by app and host; of this run and of those before it. Bounded.
#[derive(Clone, Debug, Default)]
pub struct Originals {
    known: HashMap<(Option<String>, String), Past, foldhash::fast::RandomState>,
    dropped: u64,
}

/// The last full handshake of an app with a host.
#[derive(Clone, Copy, Debug)]
struct Past {
    original: Original,
    /// Others of the same run say something else: nobody knows which of them is resumed.
    contradicted: bool,
}

impl Originals {
    /// Apps and hosts that are kept.
    pub const LIMIT: usize = 1 << 16;

    /// Learns of a full handshake; a later run replaces what earlier ones say.
    pub fn learn(&mut self, app: Option<String>, host: &str, original: Original) {
        let key = (app, host.to_owned());
        let room = self.known.len() < Self::LIMIT;
        match self.known.get_mut(&key) {
            Some(past) => {
                let same_run = past.original.run == original.run;
                let differs = past.original.state != original.state;
                past.contradicted = same_run && (past.contradicted || differs);
                past.original = original;
            }
            None if room => {
                self.known.insert(key, Past { original, contradicted: false });
            }
            None => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// The handshake that a resumed session of `app` with `host` rests on, as far as known.
    #[must_use]
    pub fn find(&self, app: Option<String>, host: &str) -> Option<Original> {
        let past = self.known.get(&(app, host.to_owned()))?;
        (!past.contradicted).then_some(past.original)
    }

    /// Looks up what a resumed session rests on, and learns from a full one; flows come in the order of their ends.
    pub fn settle(&mut self, flow: &mut Flow) {
        let (app, host) = (flow.owner.as_ref().map(|owner| owner.name()), flow.host().into_owned());
        let id = flow.id;
        let Some(session) = flow.tls.as_deref_mut() else { return };
        let state = session.client_certificate();
        match state {
            ClientCertificate::ResumedUnknown => session.original = self.find(app, &host),
            ClientCertificate::Unknown => {}
            _ if session.established() => self.learn(app, &host, Original { state, run: None, flow: id }),
            _ => {}
        }
    }

    /// Apps and hosts that the limit dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(state: ClientCertificate, run: Option<i64>, flow: u64) -> Original {
        Original { state, run, flow }
    }

    #[test]
    fn the_last_run_counts_and_contradictions_are_no_answer() {
        let mut originals = Originals::default();
        let app = || Some("shop".to_owned());
        originals.learn(app(), "a.test", original(ClientCertificate::Sent, Some(1), 4));
        originals.learn(app(), "a.test", original(ClientCertificate::NotSent, None, 9));
        assert_eq!(originals.find(app(), "a.test"), Some(original(ClientCertificate::NotSent, None, 9)));
        assert_eq!(originals.find(None, "a.test"), None);
        assert_eq!(originals.find(app(), "b.test"), None);
        originals.learn(app(), "a.test", original(ClientCertificate::Sent, None, 10));
        originals.learn(app(), "a.test", original(ClientCertificate::Sent, None, 11));
        assert_eq!(originals.find(app(), "a.test"), None);
    }
}
