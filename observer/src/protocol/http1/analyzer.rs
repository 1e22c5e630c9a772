//! Message after message in both directions.

use std::collections::VecDeque;

use super::framing::{Body, Framing};
use super::side::{Form, HeldPiece, Method, Seen, Side, State};
use super::wire::{self, Head, Start};
use super::{Fact, Request, Response, credential};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, Gap};
use crate::protocol::{self, Analyzer, Context, Probe, Progress, proxy};

/// Header fields kept of a message.
const MAX_HEADERS: usize = 100;
/// `HEAD` and `CONNECT` requests that may wait for their responses. Where more do, the responses were not captured.
const MAX_SPECIAL: usize = 256;
/// Bytes of a request's body that are searched for form fields.
const MAX_FORM: usize = 4096;
/// Bytes behind a `CONNECT` that wait for its response.
const MAX_HELD: usize = 16 << 10;
/// Bytes passed over, in search of the next message or up to the end of the flow, after which nobody listens any more.
const PATIENCE: u64 = 1 << 20;

/// The messages of a flow.
#[derive(Default)]
pub(super) struct Http1Analyzer {
    sides: [Side; 2],
    requests: u64,
    /// Requests with a final response: the index of the next one to be answered. `answered <= requests`.
    answered: u64,
    /// Requests at or behind `answered` whose method decides how the response is framed, by index.
    special: VecDeque<(u64, Method)>,
    form: Option<Form>,
    spoken: bool,
    damaged: bool,
    passed_over: u64,
}

/// What becomes of the flow behind a message head.
enum Then {
    Continue,
    Stop(Progress),
}

impl Analyzer for Http1Analyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let Data { direction, bytes, frame, at } = data;
        let reverse = direction.reverse();
        if wire::states_no_version(&self.side(reverse).buffer) {
            // It was answered: no fields follow.
            self.incomplete(reverse, cx);
        }
        let side = self.side(direction);
        side.last = Seen { frame, at };
        match side.state {
            State::Lost if wire::recognise(bytes) != Probe::Match => return self.pass_over(bytes.len()),
            State::Lost => (side.state, side.resumed) = (State::Head, true),
            State::Held => return self.hold(data, cx),
            State::Head | State::Bare | State::Body(_) => {}
        }
        let mut owned = std::mem::take(&mut self.side(direction).buffer);
        let input = if owned.is_empty() {
            bytes
        } else {
            owned.extend_from_slice(bytes);
            owned.as_slice()
        };
        match self.messages(direction, input, cx) {
            Ok((taken, Then::Continue)) => {
                let side = self.side(direction);
                if owned.is_empty() {
                    side.buffer.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                } else {
                    owned.drain(..taken.min(owned.len()));
                    side.buffer = owned;
                }
                if self.side(direction).state == State::Held {
                    let bytes = std::mem::take(&mut self.side(direction).buffer);
                    return self.hold(Data { bytes: &bytes, ..data }, cx);
                }
                Progress::NeedMore
            }
            Ok((taken, Then::Stop(progress))) => {
                let rest = input.get(taken..).unwrap_or_default();
                self.hand_on(Data { bytes: rest, ..data }, cx);
                progress
            }
            Err(error) => self.malformed(direction, error, cx),
        }
    }

    fn gap(&mut self, gap: Gap, cx: &mut Context<'_>) -> Progress {
        self.flush_form(cx);
        self.incomplete(gap.direction, cx);
        let side = self.side(gap.direction);
        side.held.clear();
        side.state = match side.state {
            State::Body(body) => match body.skip(gap.len) {
                Ok(Some(body)) => State::Body(body),
                Ok(None) => State::Head,
                Err(()) => State::Lost,
            },
            State::Bare => State::Body(Body::UntilClose),
            State::Head | State::Held | State::Lost => State::Lost,
        };
        Progress::NeedMore
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.flush_form(cx);
        for direction in [Direction::ToResponder, Direction::ToOriginator] {
            self.incomplete(direction, cx);
        }
    }
}

impl Http1Analyzer {
    fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_responder, to_originator] = &mut self.sides;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }

    /// Reads as many messages as `input` holds; returns the bytes consumed.
    fn messages(
        &mut self,
        direction: Direction,
        input: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(usize, Then), ParseError> {
        let mut taken = 0_usize;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.side(direction).state {
                State::Body(body) => {
                    if self.is_next_response(body, rest) {
                        self.side(direction).state = State::Head;
                        continue;
                    }
                    let Some(step) = body.step(rest)? else { break };
                    let content = step.taken.saturating_sub(step.content)..step.taken;
                    self.sample(direction, rest.get(content).unwrap_or_default());
                    taken = taken.saturating_add(step.taken);
                    self.side(direction).state = step.next.map_or(State::Head, State::Body);
                    if step.next.is_none() || self.form_is_full() {
                        self.flush_form(cx);
                    }
                    if body == Body::UntilClose && self.pass_over(step.taken) == Progress::Done {
                        return Ok((taken, Then::Stop(Progress::Done)));
                    }
                }
                State::Head => {
                    let blank = wire::blank_lines(rest);
                    if blank > 0 {
                        taken = taken.saturating_add(blank);
                        self.side(direction).scanned = 0;
                        continue;
                    }
                    let Some(end) = wire::head_end(rest, self.side(direction).scanned) else {
                        self.side(direction).scanned = rest.len();
                        // The first bytes tell; a long line is not searched again with every piece of it.
                        let first = rest.get(..cx.limits.probe_bytes).unwrap_or(rest);
                        if wire::recognise(first) == Probe::NoMatch {
                            return Err(ParseError::invalid("start line", 0));
                        }
                        if rest.len() > cx.limits.message_bytes {
                            return Err(ParseError::invalid("head length", 0));
                        }
                        break;
                    };
                    self.side(direction).scanned = 0;
                    let head = wire::head(rest.get(..end).unwrap_or_default())?;
                    taken = taken.saturating_add(end);
                    if let Then::Stop(progress) = self.head(direction, head, cx) {
                        return Ok((taken, Then::Stop(progress)));
                    }
                }
                State::Bare => match wire::recognise(rest) {
                    Probe::Match => self.side(direction).state = State::Head,
                    Probe::NeedMore => break,
                    Probe::NoMatch => self.side(direction).state = State::Body(Body::UntilClose),
                },
                State::Held | State::Lost => break,
            }
        }
        Ok((taken, Then::Continue))
    }

    fn head(&mut self, direction: Direction, head: Head, cx: &mut Context<'_>) -> Then {
        self.spoken = true;
        match &head.start {
            Start::Request { .. } => {
                self.request(direction, head, cx);
                Then::Continue
            }
            Start::Response { version, status } => {
                let (version, status) = (*version, *status);
                self.response(direction, &head, version, status, cx)
            }
        }
    }

    fn request(&mut self, direction: Direction, head: Head, cx: &mut Context<'_>) {
        self.flush_form(cx);
        let framing = Framing::of_request(&head);
        let form = framing != Framing::None && credential::may_hold_form(&head);
        let host = head.field("host").filter(|host| !host.is_empty()).map(str::to_lowercase);
        let Start::Request { method, target, version } = head.start.clone() else { return };
        let credentials = credential::in_fields(&head.fields, &target);
        let kind = match method.as_str() {
            "HEAD" => Method::Head,
            "CONNECT" => Method::Connect,
            _ => Method::Other,
        };
        let host = host.or_else(|| authority(&target));
        let Head { fields: mut headers, .. } = head;
        headers.truncate(MAX_HEADERS);
        let index = self.requests;
        self.requests = self.requests.saturating_add(1);
        self.side(direction).resumed = false;
        if self.side(direction.reverse()).state == State::Lost {
            // The requests before this one were answered in bytes that are missing.
            self.answered = index;
        }
        let answer = self.side(direction.reverse());
        if version == Some("0.9") && answer.state == State::Head && answer.buffer.is_empty() {
            answer.state = State::Bare;
        }
        if kind != Method::Other && self.special.len() < MAX_SPECIAL {
            self.special.push_back((index, kind));
        }
        let seen = self.side(direction).last;
        let tunnel =
            (kind == Method::Connect).then(|| proxy::Target::of_authority(super::PROTOCOL.name, &target));
        let request = Request { index, version, method, target, host, headers, credentials };
        self.side(direction).state = match Body::begin(framing) {
            _ if kind == Method::Connect => State::Held,
            Some(body) => State::Body(body),
            None => State::Head,
        };
        self.form = Some(Form { direction, request, seen, sample: Vec::new(), interim: Vec::new() });
        if !form {
            self.flush_form(cx);
        }
        if let Some(target) = tunnel {
            say_of_proxy(proxy::Fact::Asked(target), seen, cx);
        }
    }

    fn response(
        &mut self,
        direction: Direction,
        head: &Head,
        version: &'static str,
        status: u16,
        cx: &mut Context<'_>,
    ) -> Then {
        let interim = (100..200).contains(&status) && status != 101;
        if std::mem::take(&mut self.side(direction).resumed) {
            // The responses to all requests but the last are among the missing bytes.
            self.answered = self.answered.max(self.requests.saturating_sub(1));
        }
        let index = (self.answered < self.requests).then_some(self.answered);
        let method = index.map_or(Method::Other, |index| self.method(index));
        if index.is_some() && !interim {
            self.answered = self.answered.saturating_add(1);
        }
        let headers = head.fields.iter().take(MAX_HEADERS).cloned().collect();
        let whole = head.ended && head.fields.len() <= MAX_HEADERS;
        let response = Response { index, version, status, headers, whole };
        let seen = self.side(direction).last;
        match &mut self.form {
            Some(form) if interim && form.interim.is_empty() => form.interim.push((response, seen)),
            _ => {
                self.flush_form(cx);
                say(Fact::Response(response), seen, cx);
            }
        }
        if method == Method::Connect && !interim {
            let granted = (200..300).contains(&status);
            say_of_proxy(proxy::Fact::Answered { granted }, seen, cx);
            if granted {
                return Then::Stop(Progress::Inner);
            }
        }
        if status == 101 {
            let upgrade = head.field("upgrade").unwrap_or_default().trim().to_ascii_lowercase();
            return Then::Stop(match upgrade.as_str() {
                "websocket" => Progress::Agreed("websocket"),
                "h2c" => Progress::Agreed("http2"),
                _ => Progress::Inner,
            });
        }
        let framing = Framing::of_response(head, status, method == Method::Head);
        self.side(direction).state = Body::begin(framing).map_or(State::Head, State::Body);
        if method == Method::Connect && !interim {
            self.release(direction.reverse(), cx)
        } else {
            Then::Continue
        }
    }

    /// The method of the request `index`, as far as it matters.
    fn method(&mut self, index: u64) -> Method {
        while self.special.front().is_some_and(|(special, _)| *special < index) {
            self.special.pop_front();
        }
        self.special
            .front()
            .filter(|(special, _)| *special == index)
            .map_or(Method::Other, |(_, method)| *method)
    }

    /// A response whose request was not captured may have no body in spite of its Content-Length: it answered a HEAD.
    fn is_next_response(&self, body: Body, rest: &[u8]) -> bool {
        self.requests == 0
            && matches!(body, Body::Rest(_))
            && rest.starts_with(b"HTTP/1.")
            && wire::recognise(rest) == Probe::Match
    }

    /// Keeps bytes that follow a `CONNECT` until its response says whose they are.
    fn hold(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let Data { direction, bytes, frame, at } = data;
        if bytes.is_empty() {
            return Progress::NeedMore;
        }
        let side = self.side(direction);
        let held: usize = side.held.iter().map(|piece| piece.bytes.len()).fold(0, usize::saturating_add);
        if held.saturating_add(bytes.len()) > MAX_HELD {
            // Nobody sends so much into a tunnel that is not open: the response was not captured.
            self.hand_on(data, cx);
            return Progress::Inner;
        }
        side.held.push(HeldPiece { seen: Seen { frame, at }, bytes: bytes.to_vec() });
        Progress::NeedMore
    }

    /// The tunnel was refused: what was held is the next request.
    fn release(&mut self, direction: Direction, cx: &mut Context<'_>) -> Then {
        let side = self.side(direction);
        if side.state != State::Held {
            return Then::Continue;
        }
        side.state = State::Head;
        for piece in std::mem::take(&mut side.held) {
            let HeldPiece { seen: Seen { frame, at }, bytes } = piece;
            let progress = self.data(Data { direction, bytes: &bytes, frame, at }, cx);
            if progress != Progress::NeedMore {
                return Then::Stop(progress);
            }
        }
        Then::Continue
    }

    /// Hands everything that was not consumed to the next layer: what was held, what waits for its end, and `rest`.
    fn hand_on(&mut self, rest: Data<'_>, cx: &mut Context<'_>) {
        self.flush_form(cx);
        for direction in [rest.direction.reverse(), rest.direction] {
            let side = self.side(direction);
            let (held, buffer, last) =
                (std::mem::take(&mut side.held), std::mem::take(&mut side.buffer), side.last);
            for HeldPiece { seen: Seen { frame, at }, bytes } in &held {
                cx.hand_on(Data { direction, bytes, frame: *frame, at: *at });
            }
            cx.hand_on(Data { direction, bytes: &buffer, frame: last.frame, at: last.at });
        }
        cx.hand_on(rest);
    }

    fn sample(&mut self, direction: Direction, content: &[u8]) {
        if let Some(form) = self.form.as_mut().filter(|form| form.direction == direction) {
            let room = MAX_FORM.saturating_sub(form.sample.len());
            form.sample.extend_from_slice(content.get(..room).unwrap_or(content));
        }
    }

    fn form_is_full(&self) -> bool {
        self.form.as_ref().is_some_and(|form| form.sample.len() >= MAX_FORM)
    }

    /// Says the request that waits for its body, with what was found there.
    fn flush_form(&mut self, cx: &mut Context<'_>) {
        let Some(Form { mut request, seen, sample, interim, .. }) = self.form.take() else { return };
        credential::in_body(&sample, &mut request.credentials);
        say(Fact::Request(request), seen, cx);
        for (response, seen) in interim {
            say(Fact::Response(response), seen, cx);
        }
    }

    /// A head that will not be completed is worth saying as far as it goes, if method and target are whole.
    fn incomplete(&mut self, direction: Direction, cx: &mut Context<'_>) {
        let side = self.side(direction);
        let buffer = std::mem::take(&mut side.buffer);
        side.scanned = 0;
        if side.state != State::Head || buffer.is_empty() {
            return;
        }
        let head = match buffer.contains(&b'\n') {
            true => wire::head(&buffer).ok(),
            false => wire::cut_line(&buffer),
        };
        if let Some(head) = head {
            // Nothing follows: what the head says of its body does not matter any more.
            let _ = self.head(direction, head, cx);
            self.flush_form(cx);
            self.side(direction).state = State::Lost;
        }
    }

    fn pass_over(&mut self, len: usize) -> Progress {
        self.passed_over = self.passed_over.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if self.passed_over > PATIENCE { Progress::Done } else { Progress::NeedMore }
    }

    fn malformed(&mut self, direction: Direction, error: ParseError, cx: &mut Context<'_>) -> Progress {
        if !self.spoken {
            return Progress::Malformed(error);
        }
        self.flush_form(cx);
        let side = self.side(direction);
        (side.state, side.scanned) = (State::Lost, 0);
        if !std::mem::replace(&mut self.damaged, true) {
            cx.say(protocol::Fact::Malformed { protocol: "http", direction, error: Box::new(error) });
        }
        Progress::NeedMore
    }
}

/// The host in the target, where that is an absolute URI (RFC 9112 §3.2.2).
fn authority(target: &str) -> Option<String> {
    let (_, rest) = target.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    (!host.is_empty()).then(|| host.to_lowercase())
}

/// Says a head in the frame that completed it, which may not be the one that is being read.
fn say(fact: Fact, seen: Seen, cx: &mut Context<'_>) {
    say_in(protocol::Fact::Http1(Box::new(fact)), seen, cx);
}

fn say_of_proxy(fact: proxy::Fact, seen: Seen, cx: &mut Context<'_>) {
    say_in(protocol::Fact::Proxy(Box::new(fact)), seen, cx);
}

fn say_in(fact: protocol::Fact, seen: Seen, cx: &mut Context<'_>) {
    let (frame, at) = (cx.frame, cx.at);
    (cx.frame, cx.at) = (seen.frame, seen.at);
    cx.say(fact);
    (cx.frame, cx.at) = (frame, at);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::decode::Transport;
    use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};
    use crate::protocol::{Fact, http1};

    fn tcp(acts: &[Act]) -> Played {
        play(Transport::Tcp, 80, acts)
    }

    /// Requests as `index method target host`, responses as `index status`, the rest by its kind.
    fn heads(played: &Played) -> Vec<String> {
        let heads = played.facts().into_iter().filter_map(|fact| match fact {
            Fact::Http1(fact) => match fact.as_ref() {
                http1::Fact::Request(request) => {
                    let host = request.host.as_deref().unwrap_or("-");
                    Some(format!("{} {} {} {host}", request.index, request.method, request.target))
                }
                http1::Fact::Response(response) => Some(match response.index {
                    Some(index) => format!("{index} {}", response.status),
                    None => format!("? {}", response.status),
                }),
            },
            Fact::Malformed { protocol, error, .. } => {
                Some(format!("malformed {protocol} {}", error.field()))
            }
            Fact::Proxy(_) => None,
            Fact::Unrecognised(fact) => Some(format!("{:?}", fact.likeness)),
            other => Some(format!("{other:?}")),
        });
        heads.collect()
    }

    fn tunnels(played: &Played) -> Vec<String> {
        let facts = played.facts().into_iter().filter_map(|fact| match fact {
            Fact::Proxy(fact) => Some(format!("{fact:?}")),
            _ => None,
        });
        facts.collect()
    }

    fn pipelined() -> Vec<Act> {
        vec![
            send(
                REQUEST,
                "HEAD /a HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /b HTTP/1.1\r\nHost: A.test:80\r\nContent-Length: 12\r\n\r\n\
                 user=b&pin=1\r\nGET http://c.test/c HTTP/1.1\r\n\r\nGET /d HTTP/1.0\r\n\r\n",
            ),
            send(
                RESPONSE,
                "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                 HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nHTTP/\r\n0\r\nT: t\r\n\r\n\
                 HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.0 200 OK\r\n\r\nHTTP/1.1 500 Body\r\n\r\n",
            ),
        ]
    }

    const PIPELINED: [&str; 9] = [
        "0 HEAD /a a.test",
        "1 POST /b a.test:80",
        "2 GET http://c.test/c c.test",
        "3 GET /d -",
        "0 200",
        "1 100",
        "1 201",
        "2 304",
        "3 200",
    ];

    #[test]
    fn pipelined_messages_are_paired_and_their_bodies_skipped() {
        let played = tcp(&pipelined());
        assert_eq!(heads(&played), PIPELINED);
        assert_eq!(played.layers, ["http"]);
        let Fact::Http1(fact) = played.facts()[1] else { unreachable!("a request") };
        let http1::Fact::Request(request) = fact.as_ref() else { unreachable!("a request") };
        let expected = http1::Credential { kind: http1::CredentialKind::FormField, name: "pin".into() };
        assert_eq!(request.credentials, [expected]);
    }

    #[test]
    fn a_form_is_searched_before_its_request_is_said_in_its_own_frame() {
        let played = tcp(&[
            send(REQUEST, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 100 Continue\r\n\r\n"),
            send(REQUEST, "pass=1234"),
            send(RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ]);
        assert_eq!(heads(&played), ["0 POST / -", "0 100", "0 200"]);
        let frames: Vec<_> = played.observations.iter().map(|observation| observation.frame).collect();
        assert_eq!(frames, [1, 2, 4]);
        let Fact::Http1(fact) = played.facts()[0] else { unreachable!("a request") };
        assert!(matches!(fact.as_ref(), http1::Fact::Request(request) if request.credentials.len() == 1));
    }

    #[test]
    fn a_tunnel_carries_the_next_protocol() {
        let played = tcp(&[
            send(REQUEST, "CONNECT a.test:443 HTTP/1.1\r\n\r\nGET /early HTTP/1.1\r\n"),
            send(RESPONSE, "HTTP/1.1 200 Connection established\r\nContent-Length: 9\r\n\r\n"),
            send(REQUEST, "Host: a.test\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 404 Not Found\r\n\r\n"),
        ]);
        assert_eq!(played.layers, ["http", "http"]);
        let expected = ["0 CONNECT a.test:443 -", "0 200", "0 GET /early a.test", "0 404"];
        assert_eq!(heads(&played), expected);
    }

    #[test]
    fn a_refused_tunnel_is_followed_by_the_next_request() {
        let played = tcp(&[
            send(REQUEST, "CONNECT a.test:443 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        ]);
        assert_eq!(
            tunnels(&played),
            [
                "Asked(Target { protocol: \"http\", host: \"a.test\", port: 443 })",
                "Answered { granted: false }"
            ]
        );
        assert_eq!(heads(&played), ["0 CONNECT a.test:443 -", "0 407", "1 GET / -", "1 200"]);
        assert_eq!(played.layers, ["http"]);
    }

    #[test]
    fn a_tunnel_of_unknown_content_is_described() {
        let played = tcp(&[
            send(REQUEST, "CONNECT a.test:22 HTTP/1.1\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 200 OK\r\n\r\nWELCOME chat server 9.6\r\n"),
        ]);
        assert_eq!(played.layers, ["http", "unknown"]);
        assert_eq!(heads(&played), ["0 CONNECT a.test:22 -", "0 200", "Text"]);
    }

    #[test]
    fn an_upgrade_to_websocket_is_a_layer_that_takes_what_follows() {
        let upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        let hello = b"\x81\x05hello";
        let agreed = [b"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n\r\n".as_slice(), hello].concat();
        let played = tcp(&[send(REQUEST, upgrade), send(RESPONSE, agreed), send(REQUEST, hello)]);
        assert_eq!(played.layers, ["http", "websocket"]);
        assert_eq!(played.done, Some(3));
    }

    #[test]
    fn one_direction_is_enough() {
        let [requests, responses] = pipelined().try_into().unwrap();
        assert_eq!(heads(&tcp(&[requests])), PIPELINED[..4]);
        let Act::Bytes(_, bytes) = responses else { unreachable!("bytes") };
        let alone = heads(&tcp(&[send(RESPONSE, bytes)]));
        assert_eq!(alone, ["? 200", "? 100", "? 201", "? 304", "? 200"]);
    }

    #[test]
    fn gaps_in_bodies_are_skipped_and_others_cost_what_they_hide() {
        let played = tcp(&[
            send(REQUEST, "GET /a HTTP/1.1\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"),
            Act::Missing(RESPONSE, 6),
            send(RESPONSE, "ijHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 "),
            Act::Missing(RESPONSE, 30),
            send(RESPONSE, "body"),
            send(REQUEST, "GET /b HTTP/1.1\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 204 None\r\n\r\n"),
        ]);
        assert_eq!(heads(&played), ["0 GET /a -", "0 200", "? 100", "1 GET /b -", "1 204"]);
    }

    #[test]
    fn a_head_that_is_cut_is_said_as_far_as_it_goes() {
        let played = tcp(&[
            send(REQUEST, "GET /a HTTP/1.1\r\nHost: a.test\r\nCook"),
            send(RESPONSE, "HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\nServer: a\r\n"),
        ]);
        assert_eq!(heads(&played), ["? 204", "0 GET /a a.test", "0 200"]);
        let whole = played.facts().into_iter().filter_map(|fact| match fact {
            Fact::Http1(fact) => match fact.as_ref() {
                http1::Fact::Response(response) => Some(response.whole),
                http1::Fact::Request(_) => None,
            },
            _ => None,
        });
        assert_eq!(whole.collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_request_line_that_is_cut_in_its_version_is_said() {
        let played = tcp(&[
            send(REQUEST, "GET /a HTT"),
            Act::Missing(REQUEST, 90),
            send(RESPONSE, "HTTP/1.1 200 OK\r\n\r\n"),
        ]);
        assert_eq!(heads(&played), ["0 GET /a -", "0 200"]);
        let Fact::Http1(fact) = played.facts()[0] else { unreachable!("a request") };
        assert!(matches!(fact.as_ref(), http1::Fact::Request(request) if request.version.is_none()));
    }

    #[test]
    fn a_request_without_a_version_is_answered_with_or_without_a_head() {
        let simple =
            tcp(&[send(REQUEST, "GET /a\r\n"), send(RESPONSE, "<title>HTTP/1.1 200</title>\r\n\r\n")]);
        assert_eq!(heads(&simple), ["0 GET /a -"]);
        assert_eq!(simple.observations.iter().next().unwrap().frame, 1);
        let refused = tcp(&[
            send(REQUEST, "GET /aHTTP/1.1\r\n"),
            send(REQUEST, "Host: a.test\r\n\r\n"),
            send(RESPONSE, "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ]);
        assert_eq!(heads(&refused), ["0 GET /aHTTP/1.1 a.test", "0 400"]);
        for played in [simple, refused] {
            assert_eq!(played.layers, ["http"]);
        }
    }

    #[test]
    fn bytes_between_messages_are_malformed_once_and_the_next_message_is_found() {
        let played = tcp(&[
            send(REQUEST, "GET /a HTTP/1.1\r\n\r\n\u{2}\u{3}not http"),
            send(REQUEST, "more of it\r\n"),
            send(REQUEST, "GET /b HTTP/1.1\r\n\r\n\u{2}"),
        ]);
        assert_eq!(heads(&played), ["0 GET /a -", "malformed http start line", "1 GET /b -"]);
    }

    #[test]
    fn a_long_body_until_the_end_of_the_flow_is_not_read_forever() {
        let mut acts =
            vec![send(REQUEST, "GET / HTTP/1.0\r\n\r\n"), send(RESPONSE, "HTTP/1.0 200 OK\r\n\r\n")];
        acts.extend(std::iter::repeat_n(send(RESPONSE, vec![0; 1 << 16]), 40));
        assert!(tcp(&acts).done.is_some_and(|done| done < 30));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_facts(sizes in sizes()) {
            prop_assert_eq!(tcp(&cut(&pipelined(), &sizes)).said(), tcp(&pipelined()).said());
        }

        #[test]
        fn damage_does_not_panic(at in 0_usize..400, byte: u8, sizes in sizes()) {
            let mut acts = pipelined();
            for act in &mut acts {
                if let Act::Bytes(_, bytes) = act && let Some(target) = bytes.get_mut(at) {
                    *target = byte;
                }
            }
            tcp(&cut(&acts, &sizes));
        }
    }
}
