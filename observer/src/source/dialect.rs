//! Ownership in the comments of pcapng packets, in the dialects of the tools that write it there.
//!
//! A comment in no dialect says nothing. Unknown values stay unknown: a missing pid is not process 0.

use super::recorded::{Confidence, Dialect, RecordedOwner, known_id};

/// Bytes kept of a name; paths on Linux end before.
const MAX_NAME: usize = 4096;

/// The owner that the comments of one packet name together.
pub(super) fn owner_in_comments<'a>(
    comments: impl Iterator<Item = &'a [u8]> + Clone,
) -> Option<RecordedOwner> {
    let texts = comments.map(String::from_utf8_lossy);
    let one = |read: fn(&str) -> Option<RecordedOwner>| texts.clone().find_map(|text| read(&text));
    let own = one(observer);
    let pcapdroid = match (one(pcapdroid), &own) {
        // Where uids are Android's, the observer writes both, and only in its own dialect all that it knows.
        (Some(pcapdroid), Some(own)) => {
            Some(RecordedOwner { dialect: pcapdroid.dialect, uid: pcapdroid.uid, ..own.clone() })
        }
        (pcapdroid, _) => pcapdroid,
    };
    pcapdroid
        .or(own)
        .or_else(|| one(rustnet))
        .or_else(|| one(etl2pcapng))
        .or_else(|| texts.clone().fold(None, |owner, text| ptcpdump(owner, &text)))
}

/// A name of at most [`MAX_NAME`] bytes, without the NUL that some writers add; `None` if empty.
pub(super) fn name(text: &str) -> Option<String> {
    let text = text.trim_end_matches('\0').trim();
    let cut = (0..=text.len().min(MAX_NAME)).rev().find(|cut| text.is_char_boundary(*cut))?;
    text.get(..cut).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// A process id; 0 stands for none in every dialect.
pub(super) fn pid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

/// PCAPdroid: `u-<uid>` and nothing else; `u--1` is an unknown owner.
fn pcapdroid(comment: &str) -> Option<RecordedOwner> {
    let uid = known_id(comment.strip_prefix("u-")?.parse().ok()?)?;
    Some(RecordedOwner { uid: Some(uid), ..RecordedOwner::new(Dialect::Pcapdroid) })
}

/// The observer: `observer uid=… pid=… … process=…`, any subset; the process is last and may contain spaces.
///
/// `app=` is for people: the UID maps say the same, whole.
fn observer(comment: &str) -> Option<RecordedOwner> {
    let mut owner = RecordedOwner::new(Dialect::Observer);
    let mut rest = comment.strip_prefix("observer ")?;
    while !rest.is_empty() {
        if let Some(process) = rest.strip_prefix("process=") {
            owner.process = name(process);
            break;
        }
        let (pair, after) = rest.split_once(' ').unwrap_or((rest, ""));
        match pair.split_once('=') {
            Some(("uid", value)) => owner.uid = value.parse().ok().and_then(known_id),
            Some(("pid", value)) => owner.pid = pid(value),
            Some(("user", value)) => owner.user = name(value),
            Some(("label", value)) => owner.label = name(value),
            Some(("confidence", "polled")) => owner.confidence = Some(Confidence::Polled),
            Some(("confidence", "inferred")) => owner.confidence = Some(Confidence::Inferred),
            _ => {}
        }
        rest = after;
    }
    said(owner)
}

/// RustNet: `rustnet process=… pid=… uid=…`, any subset, in any order; spaces within values became `_`.
fn rustnet(comment: &str) -> Option<RecordedOwner> {
    let mut owner = RecordedOwner::new(Dialect::Rustnet);
    for pair in comment.strip_prefix("rustnet ")?.split(' ') {
        match pair.split_once('=') {
            Some(("process", value)) => owner.process = name(value),
            Some(("pid", value)) => owner.pid = pid(value),
            Some(("uid", value)) => owner.uid = value.parse().ok().and_then(known_id),
            _ => {}
        }
    }
    said(owner)
}

/// etl2pcapng: `PID=<pid> TID=<tid>`.
fn etl2pcapng(comment: &str) -> Option<RecordedOwner> {
    let (value, _) = comment.strip_prefix("PID=")?.split_once(" TID=")?;
    Some(RecordedOwner { pid: Some(pid(value)?), ..RecordedOwner::new(Dialect::Etl2pcapng) })
}

/// ptcpdump: `Key: value` lines, spread over several comments of a packet.
///
/// `UserId: 0` is read as unknown: ptcpdump writes it for root and for processes whose user it does not know alike.
fn ptcpdump(owner: Option<RecordedOwner>, comment: &str) -> Option<RecordedOwner> {
    let mut owner = owner;
    for (key, value) in comment.lines().filter_map(|line| line.split_once(": ")) {
        if !matches!(key, "PID" | "Cmd" | "Command" | "UserId") {
            continue;
        }
        let owner = owner.get_or_insert_with(|| RecordedOwner::new(Dialect::Ptcpdump));
        match key {
            "PID" => owner.pid = pid(value),
            "UserId" => owner.uid = value.trim().parse().ok().filter(|uid| *uid != 0).and_then(known_id),
            _ => owner.process = name(value),
        }
    }
    owner.and_then(said)
}

/// The owner, unless it says nothing.
fn said(owner: RecordedOwner) -> Option<RecordedOwner> {
    (owner.uid.is_some() || owner.pid.is_some() || owner.process.is_some()).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(comments: &[&str]) -> Option<RecordedOwner> {
        owner_in_comments(comments.iter().map(|comment| comment.as_bytes()))
    }

    #[test]
    fn pcapdroid_says_a_uid_or_nothing() {
        let owner = read(&["u-10123"]).unwrap();
        assert_eq!((owner.dialect, owner.uid), (Dialect::Pcapdroid, Some(10_123)));
        assert_eq!(read(&["u-0"]).unwrap().uid, Some(0));
        for unknown in ["u--1", "u-65534", "u-10123 ", "u-", "u-x", "xu-10123"] {
            assert_eq!(read(&[unknown]), None, "{unknown}");
        }
    }

    #[test]
    fn ptcpdump_spreads_an_owner_over_comments() {
        let owner = read(&[
            "PID: 4242\nCmd: /usr/bin/curl\nArgs: curl https://a.test/ PID: 7",
            "ThreadId: 4243\nThreadName: curl",
            "UserId: 1000",
            "ParentPID: 1\nParentCmd: /sbin/init",
            "ContainerName: shop",
        ])
        .unwrap();
        assert_eq!(owner.dialect, Dialect::Ptcpdump);
        assert_eq!((owner.pid, owner.uid), (Some(4242), Some(1000)));
        assert_eq!(owner.process.as_deref(), Some("/usr/bin/curl"));
    }

    #[test]
    fn ptcpdump_of_older_versions_and_its_doubtful_zero() {
        let owner = read(&["PID: 9\nCommand: /bin/nc", "UserId: 0"]).unwrap();
        assert_eq!((owner.process.as_deref(), owner.uid), (Some("/bin/nc"), None));
        assert_eq!(read(&["UserId: 0"]), None);
        assert_eq!(read(&["ParentPID: 1"]), None);
    }

    #[test]
    fn the_observer_says_what_it_knows() {
        let comment = "observer uid=1000 pid=7 confidence=polled user=ada label=a.service app=x \
                       process=/opt/My App/run uid=1";
        let owner = read(&[comment]).unwrap();
        assert_eq!((owner.dialect, owner.uid, owner.pid), (Dialect::Observer, Some(1000), Some(7)));
        assert_eq!((owner.user.as_deref(), owner.label.as_deref()), (Some("ada"), Some("a.service")));
        assert_eq!(owner.confidence, Some(Confidence::Polled));
        assert_eq!(owner.process.as_deref(), Some("/opt/My App/run uid=1"));
        let android = read(&["u-10123", "observer uid=10123 pid=7 process=com.shop"]).unwrap();
        assert_eq!((android.dialect, android.uid, android.pid), (Dialect::Pcapdroid, Some(10_123), Some(7)));
        assert_eq!(android.process.as_deref(), Some("com.shop"));
        for nothing in ["observer ", "observer app=x", "observer uid=65534", "observed uid=1"] {
            assert_eq!(read(&[nothing]), None, "{nothing}");
        }
    }

    #[test]
    fn rustnet_takes_any_subset() {
        let owner =
            read(&["rustnet process=Web_Content pid=77 uid=0 attr=exact-tuple app=TLS sni=a.test"]).unwrap();
        assert_eq!((owner.dialect, owner.pid, owner.uid), (Dialect::Rustnet, Some(77), Some(0)));
        assert_eq!(owner.process.as_deref(), Some("Web_Content"));
        assert_eq!(read(&["rustnet sni=a.test"]), None);
        assert_eq!(read(&["rustnetpid=77"]), None);
    }

    #[test]
    fn etl2pcapng_says_a_process() {
        let owner = read(&["PID=812 TID=900"]).unwrap();
        assert_eq!((owner.dialect, owner.pid), (Dialect::Etl2pcapng, Some(812)));
        assert_eq!(read(&["PID=0 TID=0"]), None);
    }

    #[test]
    fn other_comments_say_nothing() {
        assert_eq!(read(&["a retransmission?", "see ticket 5: slow"]), None);
        assert_eq!(owner_in_comments([[0xff, 0xfe].as_slice()].into_iter()), None);
    }
}
