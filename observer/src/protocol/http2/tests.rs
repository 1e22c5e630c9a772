//! Connections, written down frame by frame.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};
use crate::protocol::{Fact, http1, proxy};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const HEADERS: u8 = 1;
const END: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Fields as literals that enter the table.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0x40], string(name), string(value)].concat()).collect()
}

fn request() -> Vec<u8> {
    fields(&[
        (":method", "GET"),
        (":path", "/a?token=x"),
        (":authority", "Shop.test"),
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
    ])
}

fn tcp(acts: &[Act]) -> Played {
    play(Transport::Tcp, 8080, acts)
}

fn heads(played: &Played) -> Vec<String> {
    let heads = played.facts().into_iter().map(|fact| match fact {
        Fact::Http1(fact) => match fact.as_ref() {
            http1::Fact::Request(request) => {
                let secrets: Vec<_> = request.credentials.iter().map(|one| one.name.as_str()).collect();
                let host = request.host.as_deref().unwrap_or("-");
                format!("{} {} {host}{} {secrets:?}", request.index, request.method, request.target)
            }
            http1::Fact::Response(response) => format!("{:?} {}", response.index, response.status),
        },
        Fact::Property(fact) => format!("{} {} {}", fact.protocol, fact.name, fact.value),
        Fact::Malformed { protocol, error, .. } => format!("malformed {protocol} {}", error.field()),
        other => format!("{other:?}"),
    });
    heads.collect()
}

fn connection() -> Vec<Act> {
    let padded = [&[2], [0; 5].as_slice(), &request(), &[0; 2]].concat();
    // The fields of the first request, by their places in the table.
    let again = [0xc3, 0xc2, 0xc1, 0xc0];
    vec![
        send(RESPONSE, SETTINGS),
        send(REQUEST, [PREFACE, SETTINGS, &frame(HEADERS, END | 0x28, 1, &padded)].concat()),
        send(RESPONSE, [frame(HEADERS, 0, 1, &[]), frame(9, END, 1, &[0x88])].concat()),
        send(RESPONSE, frame(0, 1, 1, &[7; 3000])),
        send(REQUEST, [frame(0xfa, 0, 0, b"?"), frame(HEADERS, END | 1, 3, &again)].concat()),
        send(RESPONSE, frame(HEADERS, END | 1, 3, &[0x8d])),
    ]
}

const SAID: [&str; 4] = [
    r#"0 GET shop.test/a?token=x ["authorization", "cookie", "token"]"#,
    "Some(0) 200",
    r#"1 GET shop.test/a?token=x ["authorization", "token"]"#,
    "Some(1) 404",
];

#[test]
fn requests_and_responses_are_paired_by_their_streams() {
    let played = tcp(&connection());
    assert_eq!(
        (played.layers.as_slice(), heads(&played)),
        (["http2"].as_slice(), SAID.map(str::to_owned).to_vec())
    );
}

#[test]
fn the_server_may_speak_first_and_a_fresh_server_is_nobodys() {
    assert_eq!(
        tcp(&[send(RESPONSE, SETTINGS), send(REQUEST, [PREFACE, SETTINGS].concat())]).layers,
        ["http2"]
    );
    assert_eq!(tcp(&[send(RESPONSE, SETTINGS)]).layers, ["unknown"]);
    assert_eq!(tcp(&[send(REQUEST, &PREFACE[..18])]).layers, ["unknown"]);
}

#[test]
fn an_upgrade_goes_on_with_stream_1() {
    let played = tcp(&[
        send(REQUEST, "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\n\r\n"),
        send(
            RESPONSE,
            ["HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n".as_bytes(), SETTINGS, &frame(HEADERS, END, 1, &[0x88])]
                .concat(),
        ),
        send(REQUEST, [PREFACE, SETTINGS].concat()),
    ]);
    assert_eq!(played.layers, ["http", "http2"]);
    assert_eq!(heads(&played), ["0 GET a.test/ []", "Some(0) 101", "Some(0) 200"]);
}

#[test]
fn a_password_in_the_authority_is_a_credential_and_no_host() {
    let head = fields(&[(":method", "GET"), (":path", "/a?pin=1"), (":authority", "alice:sesame@Shop.test")]);
    let played = tcp(&[send(REQUEST, [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &head)].concat())]);
    assert_eq!(heads(&played), [r#"0 GET shop.test/a?pin=1 ["userinfo", "pin"]"#]);
}

#[test]
fn grpc_is_named_with_its_status() {
    let head = fields(&[(":method", "POST"), (":path", "/s/m"), ("content-type", "application/grpc+proto")]);
    let played = tcp(&[
        send(REQUEST, [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &head)].concat()),
        send(RESPONSE, [SETTINGS, &frame(HEADERS, END, 1, &[0x88])].concat()),
        send(RESPONSE, frame(HEADERS, END | 1, 1, &fields(&[("grpc-status", "16")]))),
    ]);
    assert_eq!(played.layers, ["http2", "grpc"]);
    assert_eq!(heads(&played), ["0 POST -/s/m []", "Some(0) 200", "grpc status 16"]);
}

#[test]
fn a_gap_in_data_is_passed_over_and_any_other_ends_the_reading() {
    let body = frame(0, 0, 1, &[7; 3000]);
    let start = [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &request()), &body[..9]].concat();
    let next = frame(HEADERS, END, 3, &[0xc3]);
    let played = tcp(&[send(REQUEST, &start), Act::Missing(REQUEST, 3000), send(REQUEST, &next)]);
    assert_eq!((heads(&played).len(), played.done), (2, None));
    let played = tcp(&[send(REQUEST, &start), Act::Missing(REQUEST, 3001), send(REQUEST, &next)]);
    assert_eq!((heads(&played).len(), played.done), (1, Some(2)));
}

#[test]
fn what_is_not_http_2_is_said() {
    let broken = [
        (frame(9, END, 1, &[0x82]), "frame type"),
        (frame(HEADERS, END, 1, &[0xff]), "header integer"),
        (frame(HEADERS, END | 8, 1, &[9, 0x82]), "pad length"),
        ([frame(HEADERS, 0, 1, &[0x82]), frame(0, 0, 1, &[])].concat(), "frame type"),
    ];
    for (bytes, field) in broken {
        let played = tcp(&[
            send(REQUEST, [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &request())].concat()),
            send(REQUEST, bytes),
        ]);
        assert_eq!(heads(&played)[1..], [format!("malformed http2 {field}")]);
        assert_eq!(played.done, Some(2));
    }
}

#[test]
fn blocks_are_bounded() {
    let start = [PREFACE, SETTINGS, &frame(HEADERS, 0, 1, &[0x82; 60_000])].concat();
    assert_eq!(tcp(&[send(REQUEST, start), send(REQUEST, frame(9, END, 1, &[0x82; 6_000]))]).done, Some(2));
    let empty = std::iter::repeat_n(frame(HEADERS, END, 1, &[]), 5000).flatten();
    let played =
        tcp(&[send(REQUEST, [PREFACE, SETTINGS].concat()), send(REQUEST, empty.collect::<Vec<_>>())]);
    assert_eq!(played.done, Some(2));
}

proptest! {
    #[test]
    fn any_split_says_the_same(sizes in sizes()) {
        prop_assert_eq!(heads(&tcp(&cut(&connection(), &sizes))), SAID);
    }

    #[test]
    fn any_frames_are_read_without_a_panic(
        frames in proptest::collection::vec((0_u8..12, any::<u8>(), 0_u8..4, proptest::collection::vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
        tcp(&[send(REQUEST, [PREFACE, SETTINGS, &bytes].concat()), send(RESPONSE, [SETTINGS, &bytes].concat())]);
    }
}

/// What `played` says of ways through a proxy.
fn ways(played: &Played) -> Vec<String> {
    let ways = played.facts().into_iter().filter_map(|fact| match fact {
        Fact::Proxy(fact) => Some(match fact.as_ref() {
            proxy::Fact::Asked(target) => format!("{} {}:{}", target.protocol, target.host, target.port),
            proxy::Fact::Answered { granted } => format!("granted {granted}"),
        }),
        _ => None,
    });
    ways.collect()
}

#[test]
fn connect_asks_for_a_way() {
    let ask = fields(&[(":method", "CONNECT"), (":authority", "Shop.test:443")]);
    let (yes, no) = (fields(&[(":status", "200")]), fields(&[(":status", "403")]));
    for (answer, granted) in [(yes, "granted true"), (no, "granted false")] {
        let played = play(
            Transport::Tcp,
            8080,
            &[
                send(REQUEST, [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &ask)].concat()),
                send(RESPONSE, [SETTINGS, &frame(HEADERS, END, 1, &answer)].concat()),
            ],
        );
        assert_eq!(ways(&played), ["http2 shop.test:443", granted]);
    }
}

#[test]
fn extended_connect_is_a_way_for_datagrams_alone() {
    let with = |protocol: &str, path: &str| {
        let pairs = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", path)];
        let ask = fields(&[&pairs[..], &[(":authority", "proxy.test")]].concat());
        play(
            Transport::Tcp,
            8080,
            &[send(REQUEST, [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &ask)].concat())],
        )
    };
    let datagrams = with("connect-udp", "/.well-known/masque/udp/2001%3Adb8%3A%3A1/853/");
    assert_eq!(ways(&datagrams), ["http2 2001:db8::1:853"]);
    let websocket = with("websocket", "/chat");
    assert!(ways(&websocket).is_empty());
    let named = |fact: &&Fact| matches!(fact, Fact::Property(fact) if fact.value == "websocket");
    assert!(websocket.facts().iter().any(named));
}
