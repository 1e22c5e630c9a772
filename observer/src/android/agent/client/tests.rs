//! The host against agents that exist in memory only: good ones, and those that lie.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::android::agent::clock::DeviceTime;
use crate::android::agent::wire::{
    Counts, FramesHeader, InterfaceCounts, InterfaceRecord, WireFrame, encode, preamble, write_encoded,
};
use crate::attribution::{Confidence, Life, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, Transport};
use crate::source::{FrameBatch, Source as _};

/// How a scripted agent goes on after a host's message.
type Script = Box<dyn FnMut(&HostMessage) -> Vec<u8> + Send>;

/// A link whose agent answers each message of the host's with bytes, and that ends when it is told to.
struct Pipe {
    bytes: Mutex<(Vec<u8>, bool)>,
    changed: std::sync::Condvar,
}

struct Reader(Arc<Pipe>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.0.bytes.lock().unwrap();
        while bytes.0.is_empty() && !bytes.1 {
            bytes = self.0.changed.wait(bytes).unwrap();
        }
        let read = bytes.0.len().min(buffer.len());
        buffer[..read].copy_from_slice(&bytes.0[..read]);
        bytes.0.drain(..read);
        Ok(read)
    }
}

struct Writer {
    pipe: Arc<Pipe>,
    pending: Vec<u8>,
    script: Script,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend(bytes);
        let mut rest = self.pending.as_slice();
        let mut said = Vec::new();
        let mut done = 0;
        while let Ok(Some(message)) = read_message::<HostMessage>(&mut rest) {
            said.extend((self.script)(&message.header));
            done = self.pending.len() - rest.len();
        }
        self.pending.drain(..done);
        self.pipe.bytes.lock().unwrap().0.extend(said);
        self.pipe.changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn link(first: Vec<u8>, ends: bool, script: Script) -> Link {
    let pipe = Arc::new(Pipe { bytes: Mutex::new((first, ends)), changed: std::sync::Condvar::new() });
    let end = Arc::clone(&pipe);
    Link {
        reader: Box::new(Reader(Arc::clone(&pipe))),
        writer: Box::new(Writer { pipe, pending: Vec::new(), script }),
        end: Arc::new(move || {
            end.bytes.lock().unwrap().1 = true;
            end.changed.notify_all();
        }),
    }
}

fn message(sequence: u64, header: &DeviceMessage, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_encoded(&mut bytes, sequence, &encode(header).unwrap(), body).unwrap();
    bytes
}

fn hello() -> Vec<u8> {
    let interface = |name: &str, link_type| InterfaceRecord {
        name: name.to_owned(),
        link_type,
        snaplen: 262_144,
        filter: None,
    };
    let hello = DeviceHello {
        version: VERSION,
        session: "test".to_owned(),
        instance: 7,
        kernel: "Linux 6.1".to_owned(),
        machine: "aarch64".to_owned(),
        page_size: 4096,
        methods: vec!["sock_diag".to_owned()],
        asks: true,
        notes: vec!["eBPF: refused".to_owned()],
        interfaces: vec![interface("any", 276), interface("wlan0", 1)],
    };
    [preamble(), message(0, &DeviceMessage::Hello(hello), &[])].concat()
}

fn frames(interface: u32, lengths: &[u32]) -> DeviceMessage {
    let frame = |len: &u32| WireFrame { after_base: 0, len: *len, original_len: 0, outbound: Some(false) };
    DeviceMessage::Frames(FramesHeader { interface, base: 5, frames: lengths.iter().map(frame).collect() })
}

fn options(give_up_after: Duration) -> ClientOptions {
    ClientOptions { give_up_after, patience: Duration::from_secs(10), ..ClientOptions::default() }
}

/// An agent that says `words` after the host's hello, and nothing else.
fn says(words: Vec<u8>) -> Result<Client, ClientError> {
    let mut opened = false;
    let open = move || {
        if std::mem::replace(&mut opened, true) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let words = words.clone();
        let script = move |said: &HostMessage| match said {
            HostMessage::Hello { .. } => words.clone(),
            _ => Vec::new(),
        };
        Ok(link(hello(), false, Box::new(script)))
    };
    Client::connect(open, &options(Duration::from_millis(1)))
}

fn drain(source: &mut AgentSource) -> Vec<FrameBatch> {
    std::iter::from_fn(|| source.next_batch().unwrap()).collect()
}

#[test]
fn a_capture_comes_whole_over_two_links() {
    let resumed: Arc<Mutex<Vec<u64>>> = Arc::default();
    let seen = Arc::clone(&resumed);
    let mut links = 0;
    let open = move || {
        links += 1;
        let (seen, first) = (Arc::clone(&seen), links == 1);
        let script = move |said: &HostMessage| match said {
            HostMessage::Hello { resume_from, .. } => {
                seen.lock().unwrap().push(*resume_from);
                if first {
                    // The link ends inside of the second message.
                    let mut words = message(1, &frames(1, &[3, 2]), b"abcde");
                    words.extend(&message(2, &frames(0, &[1]), b"x")[..20]);
                    words
                } else {
                    let counts = InterfaceCounts { dropped: 4, ..InterfaceCounts::default() };
                    let counts = Counts { interfaces: vec![counts], spool_frames: 2, ..Counts::default() };
                    [
                        message(2, &frames(0, &[1]), b"x"),
                        message(3, &DeviceMessage::Until(99), &[]),
                        message(4, &DeviceMessage::Marker { at: 8, comment: "step=step".to_owned() }, &[]),
                        message(5, &DeviceMessage::Counts(counts), &[]),
                        message(6, &DeviceMessage::End { frames: 5 }, &[]),
                    ]
                    .concat()
                }
            }
            _ => Vec::new(),
        };
        // The first link breaks once it was read.
        Ok(link(hello(), first, Box::new(script)))
    };
    let Client { mut source, control, .. } =
        Client::connect(open, &options(Duration::from_secs(20))).unwrap();
    // The second agent goes when all is acknowledged, as the relay's end shows; here the last word does.
    let batches = drain(&mut source);
    let numbers: Vec<_> = batches
        .iter()
        .flat_map(FrameBatch::iter)
        .map(|frame| (frame.number, frame.interface, frame.data.to_vec()))
        .collect();
    let expected = [(1, 1, b"abc".to_vec()), (2, 1, b"de".to_vec()), (3, 0, b"x".to_vec())];
    assert_eq!(numbers, expected);
    assert_eq!(*resumed.lock().unwrap(), [1, 2]);
    let inputs = source.inputs();
    let told: Vec<_> = inputs
        .iter()
        .map(|input| (input.path.as_str(), input.frames, input.dropped, input.damages))
        .collect();
    assert_eq!(told, [("device:any", 1, Some(4), 0), ("device:wlan0", 2, Some(0), 0)]);
    assert_eq!(
        source.dropped().into_iter().collect::<Vec<_>>(),
        [("frames in the agent's spool".to_owned(), 2)]
    );
    assert_eq!(control.counts().reconnections, 1);
    let markers: usize = batches.iter().map(|batch| batch.metadata.len()).sum();
    assert_eq!((markers, batches.iter().filter_map(|batch| batch.until).max()), (1, Some(Timestamp(99))));
    assert!(
        control.notes().iter().any(|note| note == "on the device: eBPF: refused"),
        "{:?}",
        control.notes()
    );
}

#[test]
fn owners_and_apps_are_known_and_flows_are_told() {
    let end = |last: u8, port| Endpoint { ip: Ipv4Addr::new(10, 0, 0, last).into(), port };
    let flow = FiveTuple { transport: Transport::Tcp, source: end(1, 4000), destination: end(2, 443) };
    let sighting = Sighting {
        transport: Transport::Tcp,
        local: flow.source,
        remote: Some(flow.destination),
        listening: false,
        first: Timestamp(1),
        last: Timestamp(2),
        socket: None,
        owner: SocketOwner { uid: Some(10_123), ..SocketOwner::new(Method::SockDiag, Confidence::Polled) },
    };
    let asked = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&asked);
    let open = move || {
        let (told, sighting) = (Arc::clone(&told), sighting.clone());
        let apps = vec![(10_123, "com.example".to_owned(), String::new())];
        let script = move |said: &HostMessage| match said {
            HostMessage::Hello { .. } => {
                message(1, &DeviceMessage::Packages { first: true, last: true, apps: apps.clone() }, &[])
            }
            HostMessage::Opened(flows) => {
                told.store(flows.as_slice() == [flow.into()], Ordering::Release);
                let seen = DeviceMessage::Sightings(vec![sighting.clone().into()]);
                [message(2, &seen, &[]), message(3, &DeviceMessage::End { frames: 0 }, &[])].concat()
            }
            HostMessage::Ping { host_time } => {
                let device = DeviceTime { realtime: *host_time, monotonic: 0, boottime: 0 };
                message(0, &DeviceMessage::Pong { host_time: *host_time, device }, &[])
            }
            _ => Vec::new(),
        };
        Ok(link(hello(), false, Box::new(script)))
    };
    let Client { mut source, owners, control, .. } =
        Client::connect(open, &options(Duration::from_secs(20))).unwrap();
    while control.clock().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    owners.opened(flow);
    drain(&mut source);
    assert!(asked.load(Ordering::Acquire));
    let sockets = owners.sockets(&flow, Life::at(Timestamp(2)));
    let owner = owners.owners(&sockets).remove(0);
    assert_eq!((owner.uid, owner.package.as_deref()), (Some(10_123), Some("com.example")));
}

#[test]
fn what_an_agent_may_not_say_ends_the_capture_with_a_reason() {
    let note = DeviceMessage::Note("x".to_owned());
    for (words, reason) in [
        (message(2, &note, &[]), "message 2 came after 0"),
        (message(0, &note, &[]), "without its place"),
        (message(1, &frames(9, &[1]), b"x"), "frames of interface 9"),
        (message(1, &frames(0, &[2]), b"x"), "do not add up"),
        (message(1, &DeviceMessage::Refused("no".to_owned()), &[]), "cannot have"),
        (message(0, &DeviceMessage::Refused("it is late".to_owned()), &[]), "it is late"),
        (vec![0xff; 64], "header of 4294967295 bytes"),
    ] {
        let Client { mut source, control, .. } = says(words).unwrap();
        drain(&mut source);
        let inputs = source.inputs();
        assert_eq!(inputs[0].damages, 1, "{reason}");
        let said = control.notes().into_iter().find(|note| note.contains("was lost at")).unwrap();
        assert!(said.contains("is not in this run"), "{said}");
        // The last attempt's reason stands in the note: that of the broken link where there was none.
        assert!(said.contains(reason), "{said} lacks {reason}");
        assert_eq!(control.state(), LinkState::Ended);
    }
}

#[test]
fn an_agent_that_heeds_no_window_is_let_go() {
    let body = vec![0; 1 << 20];
    let words: Vec<u8> =
        (1..=40).flat_map(|sequence| message(sequence, &frames(0, &[1 << 20]), &body)).collect();
    let Client { source, control, .. } = says(words).unwrap();
    while control.state() != LinkState::Ended {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(control.counts().frames < 40, "{:?}", control.counts());
    assert!(
        control.notes().iter().any(|note| note.contains("more than its window")),
        "{:?}",
        control.notes()
    );
    drop(source);
}

#[test]
fn what_does_not_begin_is_told_apart() {
    let connect = |first: Vec<u8>, ends| {
        let open = move || Ok(link(first.clone(), ends, Box::new(|_| Vec::new())));
        let options = ClientOptions { patience: Duration::from_millis(50), ..ClientOptions::default() };
        Client::connect(open, &options).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(connect(Vec::new(), true), "the link ended before the agent answered");
    assert_eq!(connect(Vec::new(), false), "the agent did not answer within 50ms");
    assert_eq!(connect(b"sh: no".to_vec(), true), "no agent answered; it says \"sh: no\"");
    let refused = [preamble(), message(0, &DeviceMessage::Note(String::new()), &[])].concat();
    assert!(connect(refused, true).contains("did not say who it is"));
    let nobody = Client::connect(|| Err(io::ErrorKind::NotFound.into()), &ClientOptions::default());
    assert!(matches!(nobody, Err(ClientError::Open(_))));
}
