"""DTLS: versions, cookies, fragments, losses and certificates as OpenSSL sends them."""

import contextlib
import select
import socket
import subprocess
import threading
import time

from .catalogue import capture
from .network import GATEWAY_V4, NET, enter, v4

PORT = 4433
DTLS12 = "dtls.handshake.type == 2 && dtls.handshake.version == 0xfefd"
DTLS10 = "dtls.handshake.type == 2 && dtls.handshake.version == 0xfeff"
COOKIE = "dtls.handshake.type == 3"
DATA = "dtls.record.content_type == 23"
LOW = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
SOUND = [
    "accepted-expired",
    "accepted-name-mismatch",
    "accepted-self-signed",
    "accepted-untrusted-chain",
    "cleartext-unknown",
    "insecure-renegotiation",
    "missing-sni",
    "no-extended-master-secret",
    "non-tls-encryption",
    "tls-version-negotiated",
    "tls-version-offered",
    "weak-group",
]


def listening(lab):
    """Waits until the net side has a UDP socket on the port."""
    for _ in range(200):
        if lab.exec(NET, "ss", "-Hlun", f"sport = :{PORT}").stdout.strip():
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on UDP port {PORT}")


def server(lab, host, *options, identity=None, port=PORT):
    """`openssl s_server` over DTLS: it sends what is written to it."""
    identity = identity or lab.pki.server(host, key="rsa2048")
    files = ("-cert", identity.certificate, "-key", identity.key, "-cert_chain", identity.chain)
    address = f"{v4(host)}:{port}"
    started = lab.serve("openssl", "s_server", "-accept", address, "-quiet", *files, *options, stdin=subprocess.PIPE)
    if port == PORT:
        listening(lab)
    return started


def talk(lab, host, answer, *options, **settings):
    """`openssl s_client` says something while the server answers."""

    def later():
        time.sleep(0.9)
        with contextlib.suppress(BrokenPipeError):
            answer.stdin.write(b"good day to you\n")
            answer.stdin.flush()

    thread = threading.Thread(target=later)
    thread.start()
    lab.s_client(host, *options, port=PORT, request="good day\n", wait=0.7, **settings)
    thread.join()


@capture(
    "dtls/dtls12.pcap",
    shows="openssl s_client and s_server speak DTLS 1.2 after a cookie exchange: nothing is wrong with it.",
    tools=["openssl s_client", "openssl s_server"],
    silent=SOUND,
    expect=[DTLS12, COOKIE, DATA],
)
def dtls12(lab):
    answer = server(lab, "shop.test", "-dtls1_2", "-listen")
    with lab.recording():
        talk(lab, "shop.test", answer, "-dtls1_2", "-cipher", "ECDHE+AESGCM", "-verify_return_error")


@capture(
    "dtls/dtls10.pcap",
    shows="OpenSSL speaks DTLS 1.0, which is TLS 1.1 over datagrams.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["tls-version-negotiated", "tls-version-offered"],
    silent=["null-or-anonymous-cipher", "no-extended-master-secret"],
    expect=[DTLS10, DATA],
)
def dtls10(lab):
    answer = server(lab, "legacy.test", "-dtls1", "-cipher", LOW)
    with lab.recording():
        talk(lab, "legacy.test", answer, "-dtls1", "-cipher", LOW)


@capture(
    "dtls/fragmented.pcap",
    shows="OpenSSL at an MTU of 256 bytes: certificates of both sides come in fragments; the client sends one under DTLS 1.2.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["client-certificate-declined", "client-certificate-missing", "accepted-untrusted-chain"],
    expect=["dtls.fragments", "dtls.handshake.type == 13", "dtls.handshake.type == 15", DATA],
)
def fragmented(lab):
    answer = server(lab, "mtls.test", "-dtls1_2", "-mtu", "256", "-Verify", "3", "-CAfile", lab.pki.root)
    identity = lab.pki.client()
    files = ["-cert", identity.certificate, "-key", identity.key, "-cert_chain", identity.chain]
    with lab.recording():
        talk(lab, "mtls.test", answer, "-dtls1_2", "-mtu", "256", *files)


@capture(
    "dtls/client-declined.pcap",
    shows="The server asks for a client certificate under DTLS 1.2 without insisting; OpenSSL sends an empty list.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["client-certificate-declined"],
    expect=["dtls.handshake.type == 13", "dtls.handshake.type == 11 && udp.dstport == 4433", DATA],
)
def client_declined(lab):
    answer = server(lab, "mtls.test", "-dtls1_2", "-verify", "3", "-CAfile", lab.pki.root)
    with lab.recording():
        talk(lab, "mtls.test", answer, "-dtls1_2")


@capture(
    "dtls/refused.pcap",
    shows="OpenSSL turns a self-signed certificate away under DTLS 1.2: a fatal alert, and no data.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["accepted-self-signed", "accepted-untrusted-chain"],
    expect=["dtls.handshake.type == 11", "dtls.alert_message.level == 2 && udp.dstport == 4433"],
    forbid=[DATA],
)
def refused(lab):
    identity = lab.pki.leaf("self-signed", ["self-signed.test"], self_signed=True)
    server(lab, "self-signed.test", "-dtls1_2", identity=identity)
    with lab.recording():
        lab.s_client("self-signed.test", "-dtls1_2", "-verify_return_error", port=PORT, fails=True)


@capture(
    "dtls/self-signed-accepted.pcap",
    shows="A client that checks nothing goes on after a self-signed certificate under DTLS 1.2.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["accepted-self-signed"],
    expect=["dtls.handshake.type == 11", DATA],
)
def self_signed_accepted(lab):
    identity = lab.pki.leaf("self-signed", ["self-signed.test"], self_signed=True)
    answer = server(lab, "self-signed.test", "-dtls1_2", identity=identity)
    with lab.recording():
        talk(lab, "self-signed.test", answer, "-dtls1_2")


class Path:
    """A path between two ports that loses, doubles and reorders datagrams by their number."""

    def __init__(self, host, lost=(), late=(), doubled=()):
        self.host, self.lost, self.late, self.doubled = host, lost, late, doubled
        self.stop = threading.Event()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._forward, daemon=True)

    def __enter__(self):
        self.thread.start()
        if not self.ready.wait(5):
            raise RuntimeError("the path did not open")
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(5)

    def _forward(self):
        enter(NET)
        outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        outer.bind((v4(self.host), PORT))
        inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inner.connect((v4(self.host), PORT + 1))
        self.ready.set()
        client, number, held = None, 0, []
        while not self.stop.is_set():
            for source in select.select([outer, inner], [], [], 0.05)[0]:
                if source is outer:
                    data, client = outer.recvfrom(65536)
                    inner.send(data)
                    continue
                data = inner.recv(65536)
                number += 1
                if number in self.lost:
                    continue
                if number in self.late:
                    held.append(data)
                    continue
                for _ in range(2 if number in self.doubled else 1):
                    outer.sendto(data, client)
                while held:
                    outer.sendto(held.pop(), client)


@capture(
    "dtls/lost.pcap",
    shows="Of the server's fragments some are lost, come twice or too late: OpenSSL sends the flight again.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["accepted-untrusted-chain", "accepted-name-mismatch"],
    expect=[DTLS12, "dtls.handshake.type == 14", DATA],
)
def lost(lab):
    answer = server(lab, "shop.test", "-dtls1_2", "-mtu", "256", port=PORT + 1)
    time.sleep(0.5)
    with Path("shop.test", lost=(3, 6), late=(1, 5), doubled=(4,)), lab.recording():
        talk(lab, "shop.test", answer, "-dtls1_2", "-mtu", "256")


def gnutls(file, shows, version, *, expect, mutual=False, fires=(), silent=()):
    """gnutls-cli speaks DTLS to gnutls-serv, which sends back what it says."""

    @capture(
        f"dtls/{file}.pcap",
        shows=shows,
        tools=["gnutls-cli", "gnutls-serv"],
        fires=fires,
        silent=silent,
        expect=[*expect, DATA],
    )
    def record(lab):
        host = "mtls.test" if mutual else "shop.test"
        identity = lab.pki.server(host)
        files = ["--x509certfile", identity.chain, "--x509keyfile", identity.key]
        asks = ["--require-client-cert", "--x509cafile", lab.pki.root] if mutual else ["--disable-client-cert"]
        priority = f"NORMAL:-VERS-ALL:+{version}:%COMPAT" if version.endswith("1.0") else f"NORMAL:-VERS-ALL:+{version}"
        serve = ["--quiet", "--echo", "--udp", "--port", PORT, "--priority", priority]
        lab.serve("gnutls-serv", *serve, *asks, *files)
        listening(lab)
        words = ["--udp", "--port", PORT, "--priority", priority, "--x509cafile", lab.pki.root]
        words += ["--sni-hostname", host, "--verify-hostname", host]
        if mutual:
            own = lab.pki.client()
            words += ["--x509certfile", own.chain, "--x509keyfile", own.key]
        with lab.recording():
            lab.phone("gnutls-cli", *words, GATEWAY_V4, input=b"good day\n")

    record.__name__ = file.replace("-", "_")


gnutls(
    "gnutls-dtls12",
    "gnutls-cli and gnutls-serv speak DTLS 1.2.",
    "VERS-DTLS1.2",
    silent=SOUND,
    expect=[DTLS12, COOKIE],
)
gnutls(
    "gnutls-client-certificate",
    "gnutls-serv insists on a client certificate under DTLS 1.2, and gnutls-cli sends one.",
    "VERS-DTLS1.2",
    mutual=True,
    silent=["client-certificate-declined", "client-certificate-missing"],
    expect=[DTLS12, "dtls.handshake.type == 13", "dtls.handshake.type == 15"],
)
gnutls(
    "gnutls-dtls10",
    "gnutls-cli and gnutls-serv speak DTLS 1.0.",
    "VERS-DTLS1.0",
    fires=["tls-version-negotiated", "tls-version-offered"],
    silent=["null-or-anonymous-cipher"],
    expect=[DTLS10],
)
