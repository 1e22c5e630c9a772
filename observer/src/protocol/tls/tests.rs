//! Recorded sessions of real clients and servers, whole and in other pieces.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{ClientCertificate, Fact, Resumption, Role, Session, TlsVersion};
use crate::decode::{Decoder, Segment, Transport};
use crate::protocol;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};
use crate::source;

/// The TCP flows of a capture without losses, as acts, in the order of their first frames.
pub(super) fn recorded(name: &str) -> Vec<Vec<Act>> {
    let mut source = source::open(&[observer_captures::path(name)]).unwrap();
    let mut decoder = Decoder::default();
    let mut flows: Vec<Vec<Act>> = Vec::new();
    let mut known = BTreeMap::new();
    while let Some(batch) = source.next_batch().unwrap() {
        for frame in batch.iter() {
            // Frames without a packet are not of interest here.
            let _ = decoder.decode(&frame, |packet, _| {
                let Segment::Tcp { sequence, flags, payload, .. } = packet.segment else { return };
                let (source, destination) = (packet.five_tuple.source, packet.five_tuple.destination);
                let key = (source.min(destination), source.max(destination));
                let (flow, originator, next) = known.entry(key).or_insert_with(|| {
                    flows.push(Vec::new());
                    (flows.len() - 1, source, [None, None])
                });
                let direction = if source == *originator { REQUEST } else { RESPONSE };
                let next = &mut next[direction.index()];
                let expected = *next.get_or_insert(sequence);
                let seen = usize::try_from(expected.wrapping_sub(sequence)).unwrap_or(usize::MAX);
                let fresh = payload.get(seen..).unwrap_or_default();
                let sent = u32::try_from(fresh.len()).unwrap() + u32::from(flags.syn);
                *next = Some(expected.wrapping_add(sent));
                if !fresh.is_empty() {
                    flows[*flow].push(send(direction, fresh));
                }
            });
        }
    }
    flows
}

fn played(acts: &[Act]) -> Played {
    play(Transport::Tcp, 443, acts)
}

fn sessions(name: &str) -> Vec<(Box<Session>, Played)> {
    let flows = recorded(name);
    let read = |acts: &Vec<Act>| {
        let played = played(acts);
        Some((Session::fold(&played.observations)?, played))
    };
    flows.iter().filter_map(read).collect()
}

pub(super) fn only(name: &str) -> (Box<Session>, Played) {
    let mut sessions = sessions(name);
    assert_eq!(sessions.len(), 1, "{name}");
    sessions.remove(0)
}

fn tls(played: &Played) -> Vec<&Fact> {
    let facts = played.observations.iter();
    facts
        .filter_map(|observation| match &observation.fact {
            protocol::Fact::Tls(fact) => Some(fact),
            _ => None,
        })
        .collect()
}

#[test]
fn every_recorded_session_is_understood() {
    let mut count = 0;
    for capture in observer_captures::all().iter().filter(|capture| {
        ["tls/", "mutual_tls/", "certificates/"].iter().any(|folder| capture.name.starts_with(folder))
            && capture.name.ends_with(".pcap")
    }) {
        for (session, played) in sessions(capture.name) {
            count += 1;
            assert_eq!(played.layers, ["tls"], "{}", capture.name);
            for fact in tls(&played) {
                let bad = matches!(
                    fact,
                    Fact::MalformedMessage { .. } | Fact::MessageDropped { .. } | Fact::HandshakeGap { .. }
                );
                assert!(!bad, "{}: {fact:?}", capture.name);
            }
            for chain in session.server_chain.iter().chain(&session.client_chain) {
                for certificate in chain.value.iter() {
                    assert!(certificate.parsed.is_some(), "{}", capture.name);
                }
            }
        }
    }
    assert!(count > 60, "{count} sessions");
}

#[test]
fn fingerprints_are_those_that_others_compute() {
    // JA4: as published for these browsers. JA3 and JA3S: `tshark -e tls.handshake.ja3 -e tls.handshake.ja3s`.
    for (name, ja3, ja4, ja3s) in [
        ("tls/chrome131-android.pcap", None, "t13d1516h2_8daaf6152771_02713d6af862", None),
        ("tls/chrome136.pcap", None, "t13d1516h2_8daaf6152771_d8a2da3f94cd", None),
        (
            "tls/tls12-good.pcap",
            Some("b1ab61eaed1b24bb7ad09712f7d1c120"),
            "t12d0207h2_6d4732649639_a44c6288192a",
            Some("0191d81a4ad7ee1a330a1e2c51d23ace"),
        ),
        (
            "tls/java.pcap",
            Some("0a0d72200639a7a39887b9d81a247310"),
            "t13d371200_db35923f8641_7c76daad20ec",
            Some("15af977ce25de452b96affa2addb1036"),
        ),
    ] {
        let (session, _) = only(name);
        let (client, server) =
            (session.client_hello.as_ref().unwrap(), session.server_hello.as_ref().unwrap());
        assert_eq!(client.value.ja4, ja4, "{name}");
        assert!(ja3.is_none_or(|ja3| ja3 == client.value.ja3), "{name}: {}", client.value.ja3);
        assert!(ja3s.is_none_or(|ja3s| ja3s == server.value.ja3s), "{name}: {}", server.value.ja3s);
    }
}

#[test]
fn any_split_gives_the_same_facts() {
    for name in [
        "tls/tls12-good.pcap",
        "tls/tls13-good.pcap",
        "tls/hello-in-many-records.pcap",
        "tls/hello-retry.pcap",
        "tls/resumed-id.pcap",
        "tls/early-data.pcap",
        "tls/renegotiated.pcap",
        "tls/midstream.pcap",
        "tls/sslv3-rc4.pcap",
        "tls/version-refused.pcap",
        "mutual_tls/sent.pcap",
        "mutual_tls/required-missing.pcap",
    ] {
        for acts in recorded(name) {
            let whole = played(&acts).said();
            assert_eq!(played(&cut(&acts, &[1])).said(), whole, "{name}, byte by byte");
            let mut runner = TestRunner::new_with_rng(
                Config { cases: 12, failure_persistence: None, ..Config::default() },
                proptest::test_runner::TestRng::deterministic_rng(
                    proptest::test_runner::RngAlgorithm::ChaCha,
                ),
            );
            runner
                .run(&sizes(), |sizes| {
                    prop_assert_eq!(played(&cut(&acts, &sizes)).said(), whole.as_str(), "{}", name);
                    Ok(())
                })
                .unwrap();
        }
    }
}

#[test]
fn a_full_handshake_of_tls_1_2_says_everything() {
    let (session, played) = only("mutual_tls/sent.pcap");
    assert_eq!(session.version(), Some(TlsVersion::TLS_1_2));
    assert!(session.established() && !session.resumed);
    assert_eq!(session.client_certificate(), ClientCertificate::Sent);
    assert!(session.client_certificate_verify.is_some());
    let request = &session.certificate_request.as_ref().unwrap().value;
    assert!(!request.certificate_types.is_empty() && !request.signature_schemes.is_empty());
    assert_eq!(session.group().map(|group| group.to_string()).as_deref(), Some("x25519"));
    let exchange = session.server_key_exchange.as_ref().unwrap().value;
    assert_eq!(
        exchange.signature.map(|scheme| scheme.to_string()).as_deref(),
        Some("ecdsa_secp256r1_sha256")
    );
    let leaf = session.server_chain.as_ref().unwrap().value[0].parsed.as_ref().unwrap();
    assert_eq!(leaf.san.first().map(String::as_str), Some("mtls.test"));
    assert_eq!((leaf.public_key.algorithm.as_str(), leaf.public_key.bits), ("EC", Some(256)));
    assert_eq!(leaf.signature_algorithm, "ecdsa-with-SHA256");
    assert!(!leaf.is_ca && !leaf.self_issued);
    // Order of the messages, and the end as soon as both have sent data.
    let (hello, done) = (session.client_hello.as_ref().unwrap().frame, session.server_hello_done.unwrap());
    assert!(hello < done && done < session.client_finished.unwrap());
    assert!(played.done.is_some());
}

#[test]
fn client_certificates_are_told_apart() {
    for (name, expected) in [
        ("mutual_tls/declined.pcap", ClientCertificate::Declined),
        ("mutual_tls/not-asked.pcap", ClientCertificate::NotRequested),
        ("mutual_tls/required-missing.pcap", ClientCertificate::Declined),
        ("mutual_tls/declined-boringssl.pcap", ClientCertificate::Declined),
        ("mutual_tls/declined-tls13.pcap", ClientCertificate::Declined),
        ("mutual_tls/not-asked-tls13.pcap", ClientCertificate::NotSent),
        ("mutual_tls/sent-tls13.pcap", ClientCertificate::Sent),
        ("tls/sslv3-rc4.pcap", ClientCertificate::NotRequested),
        ("tls/midstream.pcap", ClientCertificate::Unknown),
    ] {
        assert_eq!(only(name).0.client_certificate(), expected, "{name}");
    }
}

#[test]
fn resumption_is_read_off_the_course_of_the_handshake() {
    for (name, expected) in [
        ("tls/resumed-id.pcap", Resumption::SessionId),
        ("tls/resumed-ticket.pcap", Resumption::Ticket),
        ("tls/resumed-psk.pcap", Resumption::Psk),
        ("tls/early-data.pcap", Resumption::Psk),
    ] {
        let sessions = sessions(name);
        let resumptions: Vec<_> = sessions.iter().map(|(session, _)| session.resumption).collect();
        assert_eq!(resumptions, [None, Some(expected)], "{name}");
        assert!(sessions.iter().all(|(session, _)| session.established()), "{name}");
        assert_eq!(sessions[1].0.client_certificate(), ClientCertificate::ResumedUnknown, "{name}");
    }
}

#[test]
fn a_rejected_server_is_no_established_session() {
    for (name, alert) in [
        ("certificates/self-signed-rejected.pcap", Some("unknown_ca")),
        ("certificates/self-signed-rejected-tls13.pcap", Some("unknown_ca")),
        ("certificates/expired-rejected.pcap", Some("certificate_expired")),
        ("tls/java-rejects.pcap", None),
        ("tls/node-rejects.pcap", None),
    ] {
        let (session, _) = only(name);
        assert!(!session.established(), "{name}");
        assert_eq!(session.client_data, None, "{name}");
        let said = session.alerts.first().and_then(|alert| alert.value.description_name());
        assert_eq!(said, alert, "{name}");
    }
}

#[test]
fn a_closed_session_without_data_is_established_and_silent() {
    for name in ["certificates/handshake-only.pcap", "certificates/wrong-name-rejected.pcap"] {
        let (session, _) = only(name);
        assert!(session.established(), "{name}");
        assert_eq!((session.client_data, session.server_data), (None, None), "{name}");
        assert!(session.alerts.iter().all(|alert| alert.value.is_encrypted()), "{name}");
    }
}

#[test]
fn a_renegotiation_is_an_encrypted_handshake_after_the_finished() {
    let (session, _) = only("tls/renegotiated.pcap");
    assert_eq!(session.renegotiation.map(|seen| seen.value), Some(Role::Client));
}

#[test]
fn a_retry_comes_before_the_hello() {
    let (session, played) = only("tls/hello-retry.pcap");
    let retry = session.hello_retry_request.as_ref().unwrap();
    let hello = session.server_hello.as_ref().unwrap();
    assert!(retry.frame < hello.frame);
    assert_eq!(retry.value.group, hello.value.group);
    let hellos = tls(&played).into_iter().filter(|fact| matches!(fact, Fact::ClientHello(_))).count();
    assert_eq!(hellos, 2);
    assert_eq!(session.renegotiation.map(|seen| seen.value), None);
}

#[test]
fn early_data_is_not_taken_for_the_finished() {
    let (session, _) = sessions("tls/early-data.pcap").remove(1);
    let hello = session.client_hello.as_ref().unwrap();
    assert!(hello.value.early_data);
    assert!(session.client_finished > session.server_finished);
    assert!(session.client_records.len() > 2, "{:?}", session.client_records);
}

#[test]
fn a_flow_that_began_before_the_capture_is_still_tls() {
    let (session, _) = only("tls/midstream.pcap");
    assert_eq!(session.midstream.as_ref().map(|seen| seen.value), Some(TlsVersion::TLS_1_2));
    assert_eq!(session.version(), None);
    // From the middle of the handshake on, it is a part of it that is missing, not a reason to give up.
    let acts = recorded("tls/tls12-good.pcap").remove(0);
    for start in 1..acts.len() {
        let played = played(&acts[start..]);
        assert_eq!(played.layers, ["tls"], "from {start}");
        let session = Session::fold(&played.observations).unwrap();
        assert!(session.midstream.is_some() || session.server_hello.is_some(), "from {start}");
    }
}

#[test]
fn the_client_is_who_sends_the_hello() {
    let acts: Vec<Act> = recorded("tls/tls12-good.pcap")
        .remove(0)
        .into_iter()
        .map(|act| match act {
            Act::Bytes(direction, bytes) => Act::Bytes(direction.reverse(), bytes),
            Act::Missing(direction, len) => Act::Missing(direction.reverse(), len),
        })
        .collect();
    let session = Session::fold(&played(&acts).observations).unwrap();
    assert_eq!(session.client_direction, Some(RESPONSE));
    assert_eq!(session.client_certificate(), ClientCertificate::NotRequested);
    assert!(session.established() && session.server_chain.is_some());
}

#[test]
fn a_chain_whose_sender_is_not_known_waits_for_the_next_message() {
    let chain = [22, 3, 3, 0, 13, 11, 0, 0, 9, 0, 0, 6, 0, 0, 3, 1, 2, 3];
    let of_server = [&chain[..], &[22, 3, 3, 0, 4, 14, 0, 0, 0]].concat();
    let of_client = [&chain[..], &[22, 3, 3, 0, 6, 16, 0, 0, 2, 1, 9]].concat();
    for way in [REQUEST, RESPONSE] {
        let session = Session::fold(&played(&[send(way, &of_server)]).observations).unwrap();
        assert!(session.server_chain.is_some() && session.client_chain.is_none(), "{way:?}");
        let session = Session::fold(&played(&[send(way, &of_client)]).observations).unwrap();
        assert!(session.client_chain.is_some() && session.server_chain.is_none(), "{way:?}");
        let session = Session::fold(&played(&[send(way, chain)]).observations).unwrap();
        assert!(session.server_chain.is_none() && session.client_chain.is_none(), "{way:?}");
        assert!(session.handshake_gap, "{way:?}");
    }
}

#[test]
fn one_direction_alone_says_its_half() {
    for name in ["tls/tls12-good.pcap", "tls/tls13-good.pcap", "mutual_tls/sent.pcap", "tls/hello-retry.pcap"]
    {
        let acts = recorded(name).remove(0);
        for kept in [REQUEST, RESPONSE] {
            let half: Vec<Act> = acts
                .iter()
                .filter(|act| matches!(act, Act::Bytes(way, _) if *way == kept))
                .cloned()
                .collect();
            let played = played(&half);
            let session = Session::fold(&played.observations).unwrap();
            assert!(!played.said().contains("Malformed"), "{name} {kept:?}: {}", played.said());
            assert_eq!(session.client_hello.is_some(), kept == REQUEST, "{name}");
            assert_eq!(session.server_hello.is_some(), kept == RESPONSE, "{name}");
            assert_eq!(session.client_direction, Some(REQUEST), "{name}");
            assert!(session.midstream.is_none() && !session.resumed, "{name} {kept:?}");
        }
    }
}

#[test]
fn a_flood_of_messages_and_records_comes_to_an_end() {
    // HelloRequests without end, and encrypted records of one side alone.
    let requests = [22, 3, 3, 0, 4, 0, 0, 0, 0].repeat(1000);
    let record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat().repeat(1000);
    let alerts = [21, 3, 3, 0, 2, 1, 90].repeat(1000);
    for stream in [requests, record, alerts] {
        let acts = cut(&[send(REQUEST, stream)], &[100]);
        let played = played(&acts);
        assert!(played.done.is_some_and(|done| done < acts.len() / 2), "{:?}", played.done);
        assert!(played.observations.iter().count() <= 200);
    }
}

#[test]
fn a_gap_costs_what_it_hides_and_no_more() {
    let acts = recorded("tls/tls12-good.pcap").remove(0);
    let whole = played(&acts);
    assert!(whole.layers == ["tls"]);
    for (lost, act) in acts.iter().enumerate().skip(1) {
        let mut acts = acts.clone();
        let Act::Bytes(direction, bytes) = act else { continue };
        acts[lost] = Act::Missing(*direction, u64::try_from(bytes.len()).unwrap());
        let played = played(&acts);
        let session = Session::fold(&played.observations).unwrap();
        assert!(session.client_hello.is_some(), "without {lost}");
        assert!(
            session.established() || session.client_data.is_some() || session.server_data.is_some(),
            "without {lost}: {}",
            played.said()
        );
        let certificate = session.client_certificate();
        assert!(
            matches!(certificate, ClientCertificate::NotRequested | ClientCertificate::Unknown),
            "without {lost}: {certificate:?}"
        );
    }
}

#[test]
fn a_message_above_the_limit_is_passed_over() {
    // A Certificate of 2^20 bytes in records of 2^14, between a ServerHello and a ServerHelloDone.
    let mut hello = vec![2, 0, 0, 38, 3, 3];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0xc0, 0x2f, 0]);
    let mut messages = hello;
    messages.extend_from_slice(&[11, 0x10, 0, 0]);
    messages.resize(messages.len() + (1 << 20), 0);
    messages.extend_from_slice(&[14, 0, 0, 0]);
    let mut stream = Vec::new();
    for chunk in messages.chunks(1 << 14) {
        stream.extend_from_slice(&[22, 3, 3]);
        stream.extend_from_slice(&u16::try_from(chunk.len()).unwrap().to_be_bytes());
        stream.extend_from_slice(chunk);
    }
    let played = played(&cut(&[send(RESPONSE, &stream)], &[1448]));
    let facts = tls(&played);
    assert!(
        facts.iter().any(|fact| matches!(fact, Fact::MessageDropped { kind: 11, len: 0x10_0000, .. })),
        "{facts:?}"
    );
    assert!(facts.iter().any(|fact| matches!(fact, Fact::ServerHelloDone)), "{facts:?}");
}

#[test]
fn ssl_2_is_named_as_what_it_is() {
    let mut client = vec![0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80];
    client.extend_from_slice(&[9; 16]);
    let mut server = vec![0x80, 11 + 3 + 3 + 16, 4, 0, 1, 0, 2, 0, 3, 0, 3, 0, 16, 1, 2, 3, 1, 0, 0x80];
    server.extend_from_slice(&[8; 16]);
    let key = [0x80, 10, 2, 1, 0, 0x80, 0, 0, 0, 0, 0, 0];
    let acts = [send(REQUEST, &client), send(RESPONSE, &server), send(REQUEST, key)];
    for sizes in [&[4000][..], &[1], &[3]] {
        let played = played(&cut(&acts, sizes));
        let session = Session::fold(&played.observations).unwrap();
        assert_eq!(session.version(), Some(TlsVersion::SSL_2));
        let kind = session.ssl2_cipher_kind.as_ref().map(|seen| seen.value.to_string());
        assert_eq!(kind.as_deref(), Some("SSL_CK_RC4_128_WITH_MD5"));
        assert_eq!(session.server_chain.as_ref().map(|chain| chain.value.len()), Some(1));
    }
}

proptest! {
    #[test]
    fn damage_never_panics_and_is_the_same_in_pieces(
        position in any::<proptest::sample::Index>(),
        value in any::<u8>(),
        cuts in sizes(),
        which in 0..4_usize,
    ) {
        let names =
            ["tls/tls12-good.pcap", "tls/tls13-good.pcap", "mutual_tls/sent.pcap", "tls/sslv3-rc4.pcap"];
        let mut acts = recorded(names[which]).remove(0);
        let act = position.index(acts.len());
        if let Act::Bytes(_, bytes) = &mut acts[act] {
            let at = position.index(bytes.len());
            bytes[at] = value;
        }
        let (whole, pieces) = (played(&acts).said(), played(&cut(&acts, &cuts)).said());
        // Behind bytes that were given up a record is looked for at the start of a piece.
        if !whole.contains("HandshakeGap") {
            prop_assert_eq!(pieces, whole);
        }
    }
}
