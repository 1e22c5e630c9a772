//! Where harnesses set markers over HTTP: `POST /mark` on this machine's loopback address.
//!
//! It is for test harnesses that have an HTTP client and nothing else at hand: Appium, Maestro, Playwright. Nobody proves who
//! they are: whoever may open a socket on this machine may set markers, and nothing else. Web pages may not: a request that
//! names another host, or that a browser sent for another site, is refused.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::said::{MAX_SAID, Said};
use crate::source::live::now;
use crate::source::{Marker, MarkerOrigin};

/// Connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 16;
/// Fields of a request's head.
const MAX_HEADERS: usize = 64;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// How long a connection may take, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait after the system gave no connection: it may have run out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// What is answered to whoever looks.
const HELP: &str = "observer: POST /mark with {\"label\":\"log in\",\"kind\":\"begin\"}, a form or plain words; \
    kind is point, begin or end, and an end may have a result\n";

/// Takes a marker; any thread may call it.
pub type SetMarker = Arc<dyn Fn(Marker) + Send + Sync>;

/// Why markers cannot be taken over HTTP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The address is not the loopback's.
    #[error("markers are taken on 127.0.0.1 alone, not on {address}")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}

/// A socket that listens, and that nobody answers yet.
#[derive(Debug)]
pub struct Endpoint {
    listener: StdListener,
    address: SocketAddr,
}

impl Endpoint {
    /// Listens on `address`, of 127.0.0.1; port 0 takes a free one.
    ///
    /// # Errors
    /// When it is another address, or when the system refuses.
    pub fn bind(address: SocketAddrV4) -> Result<Self, EndpointError> {
        let failed = |source| EndpointError::Bind { address: address.into(), source };
        if *address.ip() != Ipv4Addr::LOCALHOST {
            return Err(EndpointError::NotLoopback { address: address.into() });
        }
        let listener = StdListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, within a runtime of tokio with time and I/O, until the future is dropped or the system takes the socket away.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub async fn serve(self, mark: SetMarker) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            let mark = Arc::clone(&mark);
            connections.spawn(async move {
                let service = service_fn(move |request| answer(request, Arc::clone(&mark)));
                let connection = http1::Builder::new()
                    .keep_alive(false)
                    .max_headers(MAX_HEADERS)
                    .max_buf_size(MAX_HEAD)
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(stream), service);
                match tokio::time::timeout(PATIENCE, connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!("a request for a marker broke off: {error}"),
                    Err(_elapsed) => tracing::debug!("a request for a marker took too long"),
                }
                drop(place);
            });
        }
    }
}

async fn answer(request: Request<Incoming>, mark: SetMarker) -> Result<Response<Full<Bytes>>, Infallible> {
    // What is said happened when the request came, not when all of it was here.
    let at = now();
    if let Some(refusal) = stranger(&request) {
        return Ok(respond(StatusCode::FORBIDDEN, refusal));
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => return Ok(respond(StatusCode::OK, HELP)),
        (&Method::POST, "/mark") => {}
        (_, "/mark" | "/") => {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, HELP);
            let allowed = if request.uri().path() == "/" { "GET" } else { "POST" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return Ok(response);
        }
        _ => return Ok(respond(StatusCode::NOT_FOUND, HELP)),
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_SAID).collect().await else {
        return Ok(respond(StatusCode::PAYLOAD_TOO_LARGE, "a marker has at most 8 KiB\n"));
    };
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Ok(match Said::request(head.uri.query(), media_type, &body.to_bytes()) {
        Ok(said) => {
            mark(said.at(at, MarkerOrigin::Http));
            respond(StatusCode::OK, "ok\n")
        }
        Err(refusal) => respond(StatusCode::BAD_REQUEST, &format!("refused: {refusal}\n")),
    })
}

/// Why a request is not taken for one of a harness on this machine.
fn stranger(request: &Request<Incoming>) -> Option<&'static str> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    if !["127.0.0.1", "localhost"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        // A name that a web page's owner lets lead here (DNS rebinding).
        return Some("refused: Host is 127.0.0.1 or localhost\n");
    }
    // Every request that a page may send elsewhere without being asked has one of these (Fetch §3.2, Fetch Metadata §2).
    if request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site") {
        return Some("refused: markers are not taken from web pages\n");
    }
    None
}

fn respond(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::Mutex;

    use super::*;
    use crate::source::MarkerKind;

    /// The answers to requests, one connection each, and the markers that they set.
    fn served(requests: &[String]) -> (Vec<String>, Vec<Marker>) {
        let endpoint = Endpoint::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = endpoint.address();
        let markers = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&markers);
        let mark: SetMarker = Arc::new(move |marker| taken.lock().unwrap().push(marker));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // It ends with the tests.
        std::thread::spawn(move || runtime.block_on(endpoint.serve(mark)));
        let ask = |request: &String| {
            let mut stream = TcpStream::connect(address).unwrap();
            let request = request.replace("PORT", &address.port().to_string());
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            // What is refused before all of it was read may end in a reset.
            let _ = stream.read_to_string(&mut answer);
            answer.lines().next().unwrap_or_default().to_owned()
        };
        let answers = requests.iter().map(ask).collect();
        let markers = markers.lock().unwrap().clone();
        (answers, markers)
    }

    fn post(headers: &str, body: &str) -> String {
        format!("POST /mark HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_harness_sets_markers() {
        let host = "Host: 127.0.0.1:PORT\r\n";
        let form = format!("{host}Content-Type: application/x-www-form-urlencoded\r\n");
        let (answers, markers) = served(&[
            format!("GET / HTTP/1.1\r\n{host}\r\n"),
            post(host, r#"{"kind":"begin","label":"log in"}"#),
            post("Host: localhost:PORT\r\n", "cart"),
            post(&form, "kind=end&result=failed&label=log+in"),
        ]);
        assert_eq!(answers, ["HTTP/1.1 200 OK"; 4]);
        let shown: Vec<_> = markers.iter().map(|marker| (marker.kind, marker.label.as_str())).collect();
        let failed = MarkerKind::End(crate::source::TestResult::Failed);
        assert_eq!(shown, [(MarkerKind::Begin, "log in"), (MarkerKind::Point, "cart"), (failed, "log in")]);
        assert!(markers.iter().all(|marker| marker.origin == MarkerOrigin::Http));
    }

    #[test]
    fn strangers_and_nonsense_are_refused() {
        let host = "Host: 127.0.0.1:PORT\r\n";
        let (answers, markers) = served(&[
            post("Host: rebound.example:PORT\r\n", "x"),
            post("", "x"),
            post(&format!("{host}Origin: https://evil.example\r\n"), "x"),
            post(&format!("{host}Origin: null\r\n"), "x"),
            post(&format!("{host}Sec-Fetch-Site: cross-site\r\n"), "x"),
            post(host, ""),
            post(host, &"x".repeat(MAX_SAID + 1)),
            format!("GET /mark HTTP/1.1\r\n{host}\r\n"),
            format!("GET /else HTTP/1.1\r\n{host}\r\n"),
            format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(MAX_HEAD)),
        ]);
        let codes: Vec<_> = answers.iter().map(|answer| answer.get(9..12).unwrap_or_default()).collect();
        assert_eq!(codes, ["403", "403", "403", "403", "403", "400", "413", "405", "404", "431"]);
        assert_eq!(markers, []);
    }

    #[test]
    fn it_listens_on_loopback_alone() {
        let everywhere = Endpoint::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).unwrap_err();
        assert!(matches!(everywhere, EndpointError::NotLoopback { .. }), "{everywhere}");
    }
}
