"""TLS handshakes of other shapes: retried, resumed, cut into pieces, seen too late."""

from . import clients
from .catalogue import capture
from .tls import TLS12, TLS13


@capture(
    "tls/hello-retry.pcap",
    shows="The server asks for another group with a HelloRetryRequest: two ClientHellos, one session.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["version-downgrade-retry", "weak-group", "tls-version-negotiated"],
    expect=[
        "tls.handshake.random == cf:21:ad:74:e5:9a:61:11:be:1d:8c:02:1e:65:b8:91:c2:a2:11:16:7a:bb:8c:5e:07:9e:09:e2:c8:a8:33:9c"
    ],
)
def hello_retry(lab):
    lab.s_server("shop.test", "-groups", "P-384")
    with lab.recording():
        lab.s_client("shop.test", "-groups", "X25519:P-384")


def resumed(name, shows, *options, expect):
    """A first session whose state is kept, and a second one that resumes it."""

    @capture(
        f"tls/resumed-{name}.pcap",
        shows=shows,
        tools=["openssl s_client", "openssl s_server"],
        silent=["version-downgrade-retry", "no-extended-master-secret", "accepted-untrusted-chain"],
        expect=expect,
    )
    def record(lab):
        state = lab.dir / "session.pem"
        state.unlink(missing_ok=True)
        lab.s_server("shop.test", *options)
        with lab.recording():
            lab.s_client("shop.test", *options, "-sess_out", state)
            lab.s_client("shop.test", *options, "-sess_in", state)

    record.__name__ = f"resumed_{name}"


resumed(
    "id",
    "openssl s_client resumes a TLS 1.2 session by its identifier: no certificate the second time.",
    "-tls1_2",
    "-no_ticket",
    expect=[
        "tls.handshake.type == 2 && tls.handshake.session_id_length == 32 && tls.record.content_type == 20"
    ],
)
resumed(
    "ticket",
    "openssl s_client resumes a TLS 1.2 session by a ticket.",
    "-tls1_2",
    expect=["tls.handshake.type == 4", "tls.handshake.type == 2 && tls.record.content_type == 20"],
)
resumed(
    "psk",
    "openssl s_client resumes a TLS 1.3 session by a pre-shared key.",
    "-tls1_3",
    expect=["tls.handshake.type == 2 && tls.handshake.extension.type == 41"],
)


@capture(
    "tls/early-data.pcap",
    shows="openssl s_client resumes a TLS 1.3 session and sends early data before the server has spoken.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["version-downgrade-retry", "non-tls-encryption"],
    expect=["tls.handshake.type == 1 && tls.handshake.extension.type == 42"],
)
def early_data(lab):
    state, data = lab.dir / "early.pem", lab.dir / "early.txt"
    data.write_text("GET /early HTTP/1.0\r\n\r\n")
    lab.s_server(
        "shop.test", "-tls1_3", "-early_data", "-max_early_data", "4096", "-no_anti_replay", respond=None
    )
    with lab.recording():
        lab.s_client("shop.test", "-tls1_3", "-sess_out", state, request="hello\n")
        lab.s_client("shop.test", "-tls1_3", "-sess_in", state, "-early_data", data, request="hello\n")


@capture(
    "tls/hello-in-many-records.pcap",
    shows="A ClientHello in records of 64 bytes, all in one segment; nginx reads it without complaint.",
    tools=["python ssl", "nginx"],
    silent=["missing-sni", "non-tls-encryption", "cleartext-unknown"],
    expect=["tls.record.length == 64", TLS13],
)
def hello_in_many_records(lab):
    lab.nginx(lab.https("shop.test"))
    tls = clients.context(lab.pki.root)
    with lab.recording():
        lab.on_phone(
            lambda: clients.tls_exchange(
                clients.connect("198.51.100.10"), tls, "shop.test", send=clients.in_records_of(64)
            )
        )


@capture(
    "tls/hello-in-many-segments.pcap",
    shows="A ClientHello in TCP segments of 40 bytes.",
    tools=["python ssl", "nginx"],
    silent=["missing-sni", "non-tls-encryption", "cleartext-unknown"],
    expect=["tcp.len == 40", "tls.handshake.extensions_server_name == shop.test", TLS13],
)
def hello_in_many_segments(lab):
    lab.nginx(lab.https("shop.test"))
    tls = clients.context(lab.pki.root)
    with lab.recording():
        lab.on_phone(
            lambda: clients.tls_exchange(
                clients.connect("198.51.100.10"), tls, "shop.test", send=clients.in_segments_of(40)
            )
        )


@capture(
    "tls/tiny-segments.pcap",
    shows="A TLS 1.2 session in which neither side sends more than 200 bytes in a segment.",
    tools=["python ssl", "nginx"],
    silent=["missing-sni", "non-tls-encryption", "accepted-untrusted-chain", "weak-signature"],
    expect=[TLS12, "tls.handshake.type == 11"],
    forbid=["tcp.len > 200"],
)
def tiny_segments(lab):
    import ssl

    lab.nginx(lab.https("shop.test"))
    tls = clients.context(lab.pki.root, maximum_version=ssl.TLSVersion.TLSv1_2)
    with lab.recording():
        lab.on_phone(
            lambda: clients.tls_exchange(clients.connect("198.51.100.10", TCP_MAXSEG=200), tls, "shop.test")
        )


@capture(
    "tls/sslv2-hello.pcap",
    shows="A ClientHello in SSL 2.0's format that offers TLS 1.2: OpenSSL answers with a static RSA suite, and the client leaves.",
    tools=["python socket", "openssl s_server"],
    how="made",
    fires=["weak-cipher-negotiated"],
    silent=["cleartext-unknown", "non-tls-encryption", "cleartext-http", "missing-sni"],
    expect=["tls.handshake.type == 2"],
)
def sslv2_hello(lab):
    import os
    import struct

    suites = b"".join(
        b"\x00" + suite for suite in (b"\xc0\x2f", b"\xc0\x13", b"\x00\x9c", b"\x00\x2f", b"\x00\xff")
    )
    body = struct.pack(">BHHHH", 1, 0x0303, len(suites), 0, 32) + suites + os.urandom(32)
    lab.s_server("legacy.test", "-tls1_2", "-cipher", "ALL:@SECLEVEL=0")

    def ask():
        with clients.connect("198.51.100.70") as connection:
            connection.sendall(struct.pack(">H", 0x8000 | len(body)) + body)
            connection.recv(65536)

    with lab.recording():
        lab.on_phone(ask)


@capture(
    "tls/on-port-80.pcap",
    shows="curl speaks TLS 1.3 to port 80: encrypted, whatever the port says.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=["cleartext-http", "cleartext-unknown", "non-tls-encryption", "cleartext-on-tls-port"],
    expect=["tcp.dstport == 80"],
)
def on_port_80(lab):
    lab.nginx(lab.https("shop.test", port=80))
    with lab.recording():
        lab.curl("https://shop.test:80/")


@capture(
    "tls/midstream.pcap",
    shows="The recording begins in the middle of a TLS 1.3 session: records of application data, no handshake.",
    tools=["python ssl", "openssl s_server"],
    silent=["cleartext-unknown", "non-tls-encryption", "cleartext-http", "missing-sni"],
    expect=["tcp.port == 443 && tcp.len > 0"],
    forbid=["tcp.flags.syn == 1", "tls.handshake.type == 1"],
)
def midstream(lab):
    lab.s_server("shop.test", respond="-rev")

    def first():
        tls = clients.context(lab.pki.root, check_hostname=True)
        return tls.wrap_socket(clients.connect("198.51.100.10"), server_hostname="shop.test")

    def ask(session, times):
        for number in range(times):
            session.sendall(b"line %d of a long conversation\n" % number)
            session.recv(4096)

    session = lab.on_phone(first)
    lab.on_phone(lambda: ask(session, 2))
    with lab.recording():
        lab.on_phone(lambda: ask(session, 6))
        session.close()
