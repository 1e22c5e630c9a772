//! What a link's writer gets, over links that come and go.

use super::*;
use crate::android::agent::spool::SpoolLimits;
use crate::android::agent::wire::read_message;
use crate::source::LinkType;
use crate::time::Timestamp;

fn outbox(memory: usize) -> Outbox {
    let limits = SpoolLimits { memory, reserve: 4096, file: 0 };
    Outbox::new(Spool::new(limits, None), 1)
}

/// A batch of frames of these lengths, all of interface 0.
fn batch(lengths: &[u32]) -> FrameBatch {
    let mut start = 0;
    let frames = lengths.iter().enumerate().map(|(place, len)| {
        let range = start..start + len;
        start += len;
        FrameRecord {
            number: 0,
            timestamp: Timestamp::new(i64::try_from(place).unwrap(), 0),
            link_type: LinkType(1),
            interface: 0,
            original_len: *len,
            buffer: 0,
            range,
            annotations: None,
        }
    });
    let frames: Vec<_> = frames.collect();
    FrameBatch { buffers: vec![Arc::new(vec![7; start as usize])], frames, ..FrameBatch::default() }
}

/// The message that the writer gets next, with its sequence.
fn next(outbox: &Outbox, link: LinkNumber) -> (u64, DeviceMessage) {
    match outbox.next(link) {
        Next::Held { sequence, held } => {
            let mut bytes = Vec::new();
            let body = held.body.as_ref().map(Body::bytes).unwrap_or_default();
            super::super::wire::write_encoded(&mut bytes, sequence, &held.header, body).unwrap();
            let message = read_message(&mut bytes.as_slice()).unwrap().unwrap();
            (message.sequence, message.header)
        }
        Next::Answer(message) => (0, message),
        Next::Done | Next::Replaced | Next::Failed(_) => panic!("nothing to say"),
    }
}

fn note(text: &str) -> DeviceMessage {
    DeviceMessage::Note(text.to_owned())
}

#[test]
fn a_new_link_resumes_with_what_did_not_arrive() {
    let outbox = outbox(1 << 20);
    for text in ["one", "two", "three"] {
        outbox.note(text.to_owned());
    }
    let link = outbox.begin(1).unwrap();
    assert_eq!(next(&outbox, link), (1, note("one")));
    assert_eq!(next(&outbox, link), (2, note("two")));
    outbox.acknowledge(link, 1).unwrap();
    outbox.lose(link);
    assert!(matches!(outbox.next(link), Next::Replaced));
    // The second message was sent, and did not arrive.
    let link = outbox.begin(2).unwrap();
    assert_eq!(next(&outbox, link), (2, note("two")));
    // It arrived, and was not acknowledged yet.
    let link = outbox.begin(3).unwrap();
    assert_eq!(next(&outbox, link), (3, note("three")));
    assert!(outbox.acknowledge(link, 4).is_err(), "it was not sent");
    outbox.acknowledge(link, 3).unwrap();
    assert!(!outbox.is_abandoned(Duration::ZERO), "a host is there");
    outbox.lose(link);
    assert!(outbox.is_abandoned(Duration::ZERO));
    assert!(!outbox.is_abandoned(Duration::from_secs(60)));
}

#[test]
fn what_is_gone_or_never_was_is_refused() {
    let outbox = outbox(1 << 20);
    let error = outbox.begin(5).unwrap_err();
    assert!(error.contains("is gone"), "{error}");
    assert!(outbox.is_abandoned(Duration::from_secs(60)), "nobody else comes to it");
    let outbox = self::outbox(1 << 20);
    outbox.note("one".to_owned());
    let link = outbox.begin(1).unwrap();
    next(&outbox, link);
    outbox.acknowledge(link, 1).unwrap();
    assert!(outbox.begin(1).unwrap_err().contains("another host"));
    assert!(outbox.begin(3).is_err());
    assert!(outbox.begin(2).is_ok());
}

#[test]
fn the_window_holds_frames_back_and_answers_pass() {
    let outbox = outbox(64 << 20);
    let half = u32::try_from(WINDOW / 2).unwrap();
    for _ in 0..3 {
        // Larger than a message may be; the window does not mind.
        outbox.batch(&batch(&[half]));
    }
    let link = outbox.begin(1).unwrap();
    assert!(matches!(outbox.next(link), Next::Held { sequence: 1, .. }));
    outbox.answer(link, note("pong"));
    assert_eq!(next(&outbox, link), (0, note("pong")));
    let waiting = outbox.clone();
    let writer = std::thread::spawn(move || match waiting.next(link) {
        Next::Held { sequence, .. } => sequence,
        _ => 0,
    });
    outbox.acknowledge(link, 1).unwrap();
    assert_eq!(writer.join().unwrap(), 2);
}

#[test]
fn frames_without_room_are_counted_and_owners_have_room() {
    let outbox = outbox(4096);
    outbox.batch(&batch(&[1000, 1000]));
    outbox.batch(&batch(&[1000, 2000, 5]));
    outbox.note("still".to_owned());
    outbox.end(5);
    let link = outbox.begin(1).unwrap();
    let messages: Vec<_> = (0..4).map(|_| next(&outbox, link).1).collect();
    let DeviceMessage::Frames(frames) = &messages[0] else { panic!("{messages:?}") };
    assert_eq!(frames.frames.iter().map(|frame| frame.after_base).collect::<Vec<_>>(), [0, 1_000_000_000]);
    assert_eq!(messages[1], note("still"));
    let DeviceMessage::Counts(counts) = &messages[2] else { panic!("{messages:?}") };
    assert_eq!((counts.spool_frames, counts.spool_bytes, counts.spool_sightings), (3, 3005, 0));
    assert_eq!(messages[3], DeviceMessage::End { frames: 5 });
    assert!(!outbox.lock().done);
    outbox.acknowledge(link, 4).unwrap();
    assert!(outbox.wait_until_done(Duration::ZERO));
}

#[test]
fn a_host_that_said_stop_and_closed_gets_the_rest_unasked() {
    let outbox = outbox(1 << 20);
    let link = outbox.begin(1).unwrap();
    assert!(!outbox.close(link), "without a stop it is a link that broke");
    outbox.stop();
    assert!(outbox.is_stopped() && outbox.close(link));
    outbox.end(0);
    assert!(matches!(next(&outbox, link), (1, DeviceMessage::Counts(_))));
    assert_eq!(next(&outbox, link), (2, DeviceMessage::End { frames: 0 }));
    assert!(matches!(outbox.next(link), Next::Done));
    assert!(outbox.wait_until_done(Duration::ZERO));
}

#[test]
fn nobody_to_deliver_to_is_not_waited_for() {
    let outbox = outbox(1 << 20);
    outbox.end(0);
    assert!(!outbox.wait_until_done(Duration::from_millis(1)));
}

#[test]
fn apps_wait_until_there_is_room() {
    let outbox = outbox(0);
    let mut apps = AppDirectory::default();
    for number in 0..3000 {
        apps.add(10_000 + number % 5000, &format!("com.example.p{number}"), "");
    }
    outbox.set_apps(apps.clone());
    assert!(outbox.lock().apps.is_some());
    let room = self::outbox(1 << 20);
    room.set_apps(apps);
    let link = room.begin(1).unwrap();
    let mut sizes = Vec::new();
    loop {
        let DeviceMessage::Packages { first, last, apps } = next(&room, link).1 else { panic!() };
        sizes.push((first, last, apps.len()));
        if last {
            break;
        }
    }
    assert_eq!(sizes, [(true, false, 1024), (false, false, 1024), (false, true, 952)]);
}

#[test]
fn frames_that_do_not_lie_together_take_messages_of_their_own() {
    let mut batch = batch(&[10, 10, 10, 10]);
    batch.frames[2].interface = 1;
    batch.frames.remove(0);
    let lengths: Vec<_> = runs(&batch.frames).map(<[_]>::len).collect();
    assert_eq!(lengths, [1, 1, 1]);
    let many = self::batch(&vec![1; MAX_FRAMES + 1]);
    assert_eq!(runs(&many.frames).map(<[_]>::len).collect::<Vec<_>>(), [MAX_FRAMES, 1]);
}
