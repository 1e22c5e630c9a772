"""HTTP/1 in the clear, and what leaks with it (group 5.1 of the rules); and the shapes that HTTP/1 takes."""

import time

from . import clients
from .catalogue import Judged, capture
from .network import v4

QUIET = ["cleartext-credentials", "cleartext-secret-in-url"]
NEAR = QUIET + ["cleartext-unknown", "cleartext-websocket", "non-tls-encryption"]


def plain(
    file, shows, *arguments, expect, fires=(), silent=NEAR, body="return 200 'ok\\n';", options="", **more
):
    """One curl command against nginx without TLS; its rules come on top of `cleartext-http`."""
    host = "shop.test"

    @capture(
        f"http/{file}.pcap",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        fires=["cleartext-http", *fires],
        silent=[rule for rule in silent if rule not in fires],
        expect=expect,
    )
    def record(lab):
        lab.nginx(lab.plain_http(host, body=body, options=options))
        with lab.recording():
            lab.curl(*arguments, **more)

    record.__name__ = file.replace("-", "_")


@capture(
    "http/cleartext-get.pcap",
    shows="curl fetches http://news.test/ without TLS; nothing secret is in it.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR + ["mixed-protection-host", "cleartext-on-tls-port"],
    judged=[
        Judged("policies/shop-only.toml", fires=["undeclared-endpoint"]),
        Judged("policies/mutual-tls.toml", fires=["client-certificate-cleartext-only"]),
        Judged("policies/exception-over.toml", fires=["cleartext-http", "policy-expired-exception"]),
        Judged("policies/exception-holds.toml", silent=["cleartext-http", "policy-expired-exception"]),
    ],
    expect=["http.request.method == GET && http.host == news.test", "http.response.code == 200"],
)
def cleartext_get(lab):
    lab.nginx(lab.plain_http("news.test"))
    with lab.recording():
        lab.curl("http://news.test/")


# Secrets

plain(
    "basic-auth",
    "curl sends a user name and a password with HTTP Basic authentication in the clear.",
    "-u",
    "alice:open-sesame",
    "http://shop.test/account",
    fires=["cleartext-credentials"],
    expect=["http.authbasic"],
)
plain(
    "basic-challenge",
    "A server asks for HTTP Basic authentication in the clear, and curl has no password to send.",
    "http://shop.test/account",
    body="auth_basic 'Lab'; auth_basic_user_file /dev/null;",
    expect=["http.www_authenticate", "http.response.code == 401"],
)
plain(
    "bearer-token",
    "curl sends a bearer token in the clear.",
    "-H",
    "Authorization: Bearer mF_9.B5f-4.1JqM",
    "http://shop.test/orders",
    fires=["cleartext-credentials"],
    expect=['http.authorization contains "Bearer"'],
)
plain(
    "session-cookie",
    "curl sends a session cookie in the clear.",
    "-b",
    "sessionid=4bf92f3577b34da6a3ce929d0e0e4736",
    "http://shop.test/orders",
    fires=["cleartext-credentials"],
    expect=['http.cookie contains "sessionid"'],
)
plain(
    "harmless-cookie",
    "curl sends a cookie that only says which language to use.",
    "-b",
    "lang=en",
    "http://shop.test/",
    expect=["http.cookie"],
)
plain(
    "login-form",
    "curl posts a login form, password and all, in the clear.",
    "-d",
    "username=alice&password=open-sesame",
    "http://shop.test/login",
    fires=["cleartext-credentials"],
    expect=['urlencoded-form.key == "password"'],
)
plain(
    "login-json",
    "curl posts a login as JSON in the clear.",
    "-H",
    "Content-Type: application/json",
    "-d",
    '{"username":"alice","password":"open-sesame"}',
    "http://shop.test/login",
    fires=["cleartext-credentials"],
    expect=['json.key == "password"'],
    silent=["cleartext-secret-in-url", "cleartext-unknown"],
)
plain(
    "harmless-form",
    "curl posts a form with a colour and a size in the clear.",
    "-d",
    "colour=red&size=42",
    "http://shop.test/search",
    expect=['urlencoded-form.key == "colour"'],
)
plain(
    "token-in-url",
    "curl fetches a URL with an access token in its query in the clear.",
    "http://shop.test/v1/orders?access_token=2YotnFZFEjr1zCsicMWpAA",
    fires=["cleartext-secret-in-url"],
    expect=['http.request.uri contains "access_token"'],
)
plain(
    "password-in-url",
    "curl fetches a URL with a password in its query in the clear.",
    "http://shop.test/login?user=alice&password=open-sesame",
    fires=["cleartext-secret-in-url"],
    silent=["cleartext-unknown"],
    expect=['http.request.uri contains "password"'],
)
plain(
    "harmless-query",
    "curl fetches a URL whose query has a page number and the words `token` and `password` as values.",
    "http://shop.test/search?q=password&topic=token&page=2",
    expect=["http.request.uri.query.parameter"],
)


@capture(
    "http/basic-auth-tls.pcap",
    shows="curl sends a password with HTTP Basic authentication, a token and a cookie, all inside TLS 1.3.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=["cleartext-http", *QUIET],
    expect=["tls.app_data"],
    forbid=["http.authbasic"],
)
def basic_auth_tls(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("-u", "alice:open-sesame", "-b", "sessionid=1", "https://shop.test/account?access_token=x")


# Shapes

plain(
    "head",
    "curl asks with HEAD: a length, and no body.",
    "-I",
    "http://shop.test/",
    expect=["http.request.method == HEAD"],
)
plain(
    "no-content",
    "An answer with status 204, and a second request on the same connection.",
    "http://shop.test/a",
    "http://shop.test/b",
    body="return 204;",
    expect=["http.response.code == 204", "http.request_number == 2"],
)
plain(
    "continue",
    "curl waits for 100 Continue before it sends its body.",
    "-H",
    "Expect: 100-continue",
    "-d",
    "x" * 3000,
    "http://shop.test/upload",
    body="proxy_pass http://127.0.0.1:80/discard;",
    options="location /discard { return 200 'kept\\n'; } listen 127.0.0.1:80;",
    expect=["http.response.code == 100"],
)
plain(
    "range",
    "curl asks for 20 bytes out of the middle and gets 206 Partial Content.",
    "-r",
    "10-29",
    "http://shop.test/index.html",
    body="",
    expect=["http.response.code == 206"],
)
plain(
    "gzip",
    "An answer that is compressed with gzip.",
    "--compressed",
    "http://shop.test/",
    body=f"return 200 '{'all work and no play ' * 40}';",
    options="gzip on; gzip_types *; gzip_min_length 10;",
    expect=["http.content_encoding == gzip"],
)
plain(
    "http10",
    "curl speaks HTTP/1.0, and the end of the connection is the end of the body.",
    "-0",
    "http://shop.test/",
    expect=['http.request.version == "HTTP/1.0"'],
)
plain(
    "not-found-many",
    "Six requests one after another on one connection.",
    *(f"http://shop.test/{name}" for name in ("a", "b", "c", "d", "e", "f")),
    body="return 404;",
    expect=["http.response.code == 404", "http.request_number == 6"],
)


def raw_server(lab, host, answer, port=80):
    """A server whose every byte the recipe decides."""
    lab.serve_python(answer, host, port)


@capture(
    "http/chunked.pcap",
    shows="An answer in chunks of 5, 300 and 0 bytes, with an extension and a trailer.",
    tools=["curl", "python socket", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR,
    expect=["http.chunk_size == 300", "http.transfer_encoding == chunked"],
)
def chunked(lab):
    def answer(connection):
        connection.recv(4096)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;mood=good\r\nhello\r\n"
        )
        time.sleep(0.02)
        connection.sendall(b"12c\r\n" + b"y" * 150)
        time.sleep(0.02)
        connection.sendall(b"y" * 150 + b"\r\n0\r\nX-Sum: 1\r\n\r\n")
        connection.recv(4096)

    raw_server(lab, "shop.test", answer)
    with lab.recording():
        lab.curl("http://shop.test/stream")


@capture(
    "http/until-close.pcap",
    shows="An answer without a length: it ends where the connection does.",
    tools=["curl", "python socket", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR,
    expect=["http.response.code == 200"],
    forbid=["http.content_length"],
)
def until_close(lab):
    def answer(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(3):
            connection.sendall(b"GET /this-is-body HTTP/1.1\r\n")
            time.sleep(0.02)

    raw_server(lab, "shop.test", answer)
    with lab.recording():
        lab.curl("http://shop.test/endless")


@capture(
    "http/pipelined.pcap",
    shows="Four requests in one segment, answered in order by nginx.",
    tools=["python socket", "nginx"],
    fires=["cleartext-http"],
    silent=NEAR,
    expect=['http.request.uri == "/4"', 'http.request.uri == "/1"'],
)
def pipelined(lab):
    lab.nginx(lab.plain_http("shop.test"))

    def ask():
        connection = clients.connect(v4("shop.test"), 80)
        connection.sendall(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: shop.test\r\n\r\n" % number for number in range(1, 4))
            + b"GET /4 HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
        )
        while connection.recv(4096):
            pass

    with lab.recording():
        lab.on_phone(ask)


@capture(
    "http/without-version.pcap",
    shows="curl asks as HTTP/0.9 did, with a method and a path, and nginx answers with the page alone.",
    tools=["curl (gopher://)", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR,
    expect=["tcp.dstport == 80 && tcp.len > 0"],
    forbid=["http.response.code"],
)
def without_version(lab):
    lab.nginx(lab.plain_http("shop.test"))
    with lab.recording():
        lab.curl("gopher://shop.test:80/_GET%20/old")


@capture(
    "http/request-line-cut.pcap",
    shows="A recorder that keeps 89 bytes of each packet cuts curl's request within its version.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=[*NEAR, "missing-nosniff", "missing-csp"],
    expect=["frame.cap_len == 89 && tcp.dstport == 80", 'frame contains "GET /images/logo.gif HT"'],
    forbid=['frame contains "GET /images/logo.gif HTTP"'],
)
def request_line_cut(lab):
    lab.nginx(lab.plain_http("shop.test"))
    with lab.recording(options=["-s", "89"]):
        lab.curl("-4", "http://shop.test/images/logo.gif")


@capture(
    "http/response-alone.pcap",
    shows="A recorder that keeps what servers send alone: nginx's page without the request.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR,
    expect=["http.response.code == 200"],
    forbid=["http.request", "tcp.dstport == 80"],
)
def response_alone(lab):
    lab.nginx(lab.plain_http("shop.test"))
    with lab.recording(packets="tcp src port 80"):
        lab.curl("-4", "http://shop.test/")


@capture(
    "http/header-in-pieces.pcap",
    shows="A request whose head arrives in segments of seven bytes.",
    tools=["python socket", "nginx"],
    fires=["cleartext-http", "cleartext-credentials"],
    silent=["cleartext-secret-in-url", "cleartext-unknown"],
    expect=["tcp.len == 7", "http.authbasic"],
)
def header_in_pieces(lab):
    lab.nginx(lab.plain_http("shop.test"))
    request = b"GET /pieces HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Basic YWxpY2U6b3Blbi1zZXNhbWU=\r\nConnection: close\r\n\r\n"

    def ask():
        connection = clients.connect(v4("shop.test"), 80)
        clients.in_segments_of(7)(connection, request)
        while connection.recv(4096):
            pass

    with lab.recording():
        lab.on_phone(ask)


# Proxies and upgrades


def tinyproxy(lab, *lines):
    configuration = lab.dir / "tinyproxy.conf"
    configuration.write_text("\n".join(["Port 8888", f"Listen {v4('proxy.test')}", "Timeout 10", *lines, ""]))
    hosts = ["shop.test", "news.test"]
    # The proxy resolves names itself, in the net namespace.
    lab.net_hosts(hosts)
    lab.serve("tinyproxy", "-d", "-c", configuration, port=8888)


@capture(
    "http/connect-tls.pcap",
    shows="curl opens a tunnel with CONNECT through tinyproxy and speaks TLS 1.3 inside it.",
    tools=["curl", "tinyproxy", "nginx", "dnsmasq"],
    silent=["cleartext-unknown", "missing-sni", "non-tls-encryption", "tls-version-negotiated", *QUIET],
    expect=["http.request.method == CONNECT", "tls.handshake.type == 1 && tcp.dstport == 8888"],
)
def connect_tls(lab):
    lab.nginx(lab.https("shop.test"))
    tinyproxy(lab)
    with lab.recording():
        lab.curl("-x", "http://proxy.test:8888", "https://shop.test/")


@capture(
    "http/connect-basic-auth.pcap",
    shows="curl gives tinyproxy a password with its CONNECT, and speaks TLS 1.3 inside.",
    tools=["curl", "tinyproxy", "nginx", "dnsmasq"],
    fires=["cleartext-credentials"],
    silent=["cleartext-http", "cleartext-unknown", "missing-sni", "non-tls-encryption"],
    expect=['http.proxy_authorization contains "Basic"', "tls.handshake.type == 1 && tcp.dstport == 8888"],
)
def connect_basic_auth(lab):
    lab.nginx(lab.https("shop.test"))
    tinyproxy(lab, "BasicAuth anna not-a-secret")
    with lab.recording():
        lab.curl("-x", "http://proxy.test:8888", "-U", "anna:not-a-secret", "https://shop.test/")


@capture(
    "http/connect-refused.pcap",
    shows="tinyproxy refuses a CONNECT to a port that it does not allow.",
    tools=["curl", "tinyproxy", "dnsmasq"],
    silent=["cleartext-unknown", *QUIET],
    expect=["http.request.method == CONNECT", 'tcp.payload contains "403 Access violation"'],
)
def connect_refused(lab):
    tinyproxy(lab, "ConnectPort 443")
    with lab.recording():
        lab.curl("-x", "http://proxy.test:8888", "https://shop.test:8443/", fails=True)


@capture(
    "http/absolute-form.pcap",
    shows="curl asks a proxy for http://news.test/ with the whole URL in the request line.",
    tools=["curl", "tinyproxy", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR,
    expect=['http.request.uri == "http://news.test/"'],
)
def absolute_form(lab):
    lab.nginx(lab.plain_http("news.test"))
    tinyproxy(lab)
    with lab.recording():
        lab.curl("-x", "http://proxy.test:8888", "http://news.test/")


WEBSOCKET_SERVER = """
import asyncio, ssl, sys
from websockets.asyncio.server import serve

async def echo(socket):
    async for message in socket:
        await socket.send(message)

async def main(address, port, chain, key):
    tls = None
    if chain:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(chain, key)
    async with serve(echo, address, int(port), ssl=tls):
        await asyncio.get_running_loop().create_future()

asyncio.run(main(*sys.argv[1:]))
"""
WEBSOCKET_CLIENT = """
import asyncio, ssl, sys
from websockets.asyncio.client import connect

async def main(url, root):
    tls = ssl.create_default_context(cafile=root) if url.startswith("wss") else None
    async with connect(url, ssl=tls, proxy=None) as socket:
        for message in ("hello", "how are you?"):
            await socket.send(message)
            await socket.recv()

asyncio.run(main(*sys.argv[1:]))
"""


def websocket(lab, url, port, chain="", key=""):
    lab.serve(lab.venv / "bin/python", "-c", WEBSOCKET_SERVER, v4("chat.test"), port, chain, key, port=port)
    with lab.recording():
        lab.python(WEBSOCKET_CLIENT, url, lab.pki.root)


@capture(
    "http/websocket.pcap",
    shows="A WebSocket conversation in the clear.",
    tools=["python websockets", "dnsmasq"],
    fires=["cleartext-websocket"],
    silent=["cleartext-unknown", "non-tls-encryption", *QUIET],
    expect=['http.request.line contains "Upgrade: websocket"', "http.response.code == 101", "websocket"],
)
def websocket_clear(lab):
    websocket(lab, "ws://chat.test/room", 80)


@capture(
    "http/websocket-tls.pcap",
    shows="The same WebSocket conversation inside TLS 1.3.",
    tools=["python websockets", "dnsmasq"],
    silent=["cleartext-http", "cleartext-websocket", "cleartext-unknown"],
    expect=["tls.app_data"],
    forbid=["websocket"],
)
def websocket_tls(lab):
    identity = lab.pki.server("chat.test")
    websocket(lab, "wss://chat.test/room", 443, identity.chain, identity.key)


@capture(
    "http/websocket-refused.pcap",
    shows="A server answers a WebSocket upgrade with 404: the connection stays HTTP.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=["cleartext-websocket", "cleartext-unknown", *QUIET],
    expect=['http.request.line contains "Upgrade: websocket"', "http.response.code == 404"],
)
def websocket_refused(lab):
    lab.nginx(lab.plain_http("chat.test", body="return 404;"))
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    headers = [
        word for line in (*upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==") for word in ("-H", line)
    ]
    with lab.recording():
        lab.curl(*headers, "http://chat.test/room")


@capture(
    "http/http2-prior-knowledge.pcap",
    shows="curl speaks HTTP/2 without TLS, from the preface on.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=["cleartext-websocket", "non-tls-encryption", *QUIET],
    expect=["http2"],
)
def http2_prior_knowledge(lab):
    lab.nginx(lab.plain_http("shop.test", options=f"listen {v4('shop.test')}:8080 http2;"))
    with lab.recording():
        lab.curl("--http2-prior-knowledge", "http://shop.test:8080/")


@capture(
    "http/on-odd-port.pcap",
    shows="HTTP in the clear on port 8123, which no list knows.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=NEAR + ["cleartext-on-tls-port"],
    expect=["tcp.dstport == 8123 && http.request"],
)
def on_odd_port(lab):
    lab.nginx(lab.plain_http("news.test", port=8123).replace("listen [", "listen [::1]:80; listen [", 1))
    with lab.recording():
        lab.curl("http://news.test:8123/")
