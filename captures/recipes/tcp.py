"""TCP when things go wrong: loss, reordering, duplicates, resets, reused ports."""

import socket
import struct
import time

from . import carriers, clients
from .catalogue import capture
from .network import NET, PHONE, v4

LINES = [b"GET /part-%d HTTP/1.1\r\nHost: shop.test\r\n\r\n" % number for number in range(3)]


def has_payload(packet):
    """Whether an IPv4 packet is TCP with data."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return False
    header = (packet[0] & 15) * 4
    return len(packet) > header + (packet[header + 12] >> 4) * 4


def serve_big(lab):
    """Serves thirteen kilobytes without TLS, and a page with it."""
    (lab.dir / "www").mkdir(exist_ok=True)
    (lab.dir / "www" / "big").write_bytes(b"".join(b"line %05d of a long answer\n" % n for n in range(460)))
    lab.nginx(lab.plain_http("shop.test", body=""), lab.https("api.shop.test"))


def faulty(name, shows, policy_of, expect, silent=("cleartext-unknown", "non-tls-encryption")):
    """One capture of two fetches across a wire with one kind of fault; recorded where the phone sees it."""

    @capture(
        f"tcp/{name}.pcap",
        lossy=True,
        shows=shows,
        tools=["curl", "nginx"],
        fires=["cleartext-http"],
        silent=["missing-sni", "mixed-protection-host", *silent],
        expect=[*expect, "http.response.code == 200", "tls.handshake.type == 2"],
    )
    def record(lab):
        serve_big(lab)
        with carriers.through(lab, carriers.Direct(policy_of())), lab.recording("tun0"):
            lab.curl("-4", "http://shop.test/big")
            lab.curl("-4", "https://api.shop.test/")

    record.__name__ = name.replace("-", "_")


def reordering():
    held = []

    def policy(side, number, packet):
        if side == NET and has_payload(packet) and not held:
            held.append(packet)
            return []
        return [packet] + ([held.pop()] if held and side == NET else [])

    return policy


def duplicating():
    return lambda side, number, packet: [packet, packet] if side == NET else [packet]


def losing():
    count = {PHONE: 0, NET: 0}

    def policy(side, number, packet):
        if has_payload(packet):
            count[side] += 1
            if count[side] in (1, 4):
                return []
        return [packet]

    return policy


faulty(
    "out-of-order",
    "Every other segment of the server overtakes the one before it.",
    reordering,
    ["tcp.analysis.out_of_order || tcp.analysis.lost_segment || tcp.analysis.retransmission"],
)
faulty(
    "duplicated",
    "Every packet of the server arrives twice.",
    duplicating,
    ["tcp.analysis.duplicate_ack || tcp.analysis.retransmission || tcp.analysis.spurious_retransmission"],
)
faulty(
    "retransmitted",
    "The first and the fourth segment with data of either side are lost and sent again.",
    losing,
    ["tcp.analysis.retransmission || tcp.analysis.fast_retransmission"],
)


@capture(
    "tcp/gap.pcap",
    shows="The recorder missed three segments in the middle of an answer that did arrive.",
    tools=["curl", "nginx"],
    how="converted",
    fires=["cleartext-http"],
    silent=["cleartext-unknown", "non-tls-encryption"],
    expect=["tcp.analysis.ack_lost_segment || tcp.analysis.lost_segment"],
)
def gap(lab):
    from . import capfile

    serve_big(lab)
    with lab.recording(file=lab.temporary("whole.pcap")) as whole:
        lab.curl("-4", "http://shop.test/big")
    frames = capfile.read(whole)
    data = [index for index, frame in enumerate(frames) if len(frame.data) > 1400]
    missed = set(data[2:5])
    lab.out.write_bytes(capfile.pcap([frame for index, frame in enumerate(frames) if index not in missed]))


@capture(
    "tcp/short-snaplen.pcap",
    shows="A recorder that keeps 96 bytes of each packet: the TLS hello is cut off.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=["cleartext-unknown", "non-tls-encryption", "missing-sni"],
    expect=["frame.cap_len == 96 && frame.len > 96"],
)
def short_snaplen(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording(options=["-s", "96"]):
        lab.curl("https://shop.test/")


@capture(
    "tcp/reset.pcap",
    shows="A server resets the connection in the middle of its answer.",
    tools=["curl", "python socket"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown"],
    expect=["tcp.flags.reset == 1 && tcp.srcport == 80", "http.request"],
)
def reset(lab):
    def answer(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this much")
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    lab.serve_python(answer, "shop.test", 80)
    with lab.recording():
        lab.curl("http://shop.test/", fails=True)


@capture(
    "tcp/refused.pcap",
    shows="Nobody listens: three connections are refused.",
    tools=["curl"],
    silent=["cleartext-http", "cleartext-unknown", "missing-sni", "tls-failure-then-cleartext"],
    expect=["tcp.flags.reset == 1 && tcp.flags.ack == 1"],
    forbid=["tcp.len > 0"],
)
def refused(lab):
    with lab.recording(packets="tcp"):
        for port in (443, 8443, 80):
            lab.curl("-4", f"https://shop.test:{port}/", fails=True)


@capture(
    "tcp/unanswered.pcap",
    lossy=True,
    shows="A connection that nobody answers: SYN after SYN.",
    tools=["curl"],
    silent=["cleartext-http", "cleartext-unknown", "missing-sni", "tls-failure-then-cleartext"],
    expect=["tcp.flags.syn == 1", "tcp.analysis.retransmission"],
    forbid=["tcp.flags.ack == 1"],
)
def unanswered(lab):
    with lab.dropping(port=443), lab.recording(packets="tcp"):
        lab.curl("-4", "-m", "4", "https://shop.test/", fails=True)


@capture(
    "tcp/half-open.pcap",
    shows="The recording ends in the middle of a connection: no FIN, no reset.",
    tools=["python socket", "nginx"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown"],
    expect=['http.request.uri == "/part-2"'],
    forbid=["tcp.flags.fin == 1", "tcp.flags.reset == 1"],
)
def half_open(lab):
    lab.nginx(lab.plain_http("shop.test"))

    def ask():
        connection = clients.connect(v4("shop.test"), 80)
        for line in LINES:
            connection.sendall(line)
            connection.recv(4096)
        return connection

    with lab.recording():
        connection = lab.on_phone(ask)
    connection.close()


@capture(
    "tcp/port-reused.pcap",
    shows="Three connections one after another from the same port to the same port: HTTP, HTTP, and TLS to another host.",
    tools=["python socket", "nginx"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown", "non-tls-encryption", "mixed-protection-host"],
    expect=["tcp.stream == 2", "tcp.srcport == 40000 && http.request"],
)
def port_reused(lab):
    lab.nginx(lab.plain_http("shop.test"), lab.https("api.shop.test"))

    def ask(request):
        # A reset leaves no TIME_WAIT behind, so that the port is free at once.
        connection = clients.connect(v4("shop.test"), 80, source=40000)
        connection.sendall(request)
        connection.recv(4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def ask_tls():
        tls = clients.context(lab.pki.root)
        clients.tls_exchange(clients.connect(v4("api.shop.test"), 443, source=40000), tls, "api.shop.test")

    with lab.recording():
        for line in LINES[:2]:
            lab.on_phone(lambda line=line: ask(line))
        lab.on_phone(ask_tls)


@capture(
    "tcp/half-closed.pcap",
    shows="The client ends its direction first, and the server answers into the half-closed connection.",
    tools=["python socket"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown"],
    expect=["tcp.flags.fin == 1 && tcp.dstport == 80", "http.response.code == 200"],
)
def half_closed(lab):
    def answer(connection):
        while connection.recv(4096):
            pass
        time.sleep(0.05)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

    lab.serve_python(answer, "shop.test", 80)

    def ask():
        with clients.connect(v4("shop.test"), 80) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass

    with lab.recording():
        lab.on_phone(ask)


@capture(
    "tcp/keep-alive-probes.pcap",
    shows="An idle connection whose keep-alive probes repeat a byte that was acknowledged long ago.",
    tools=["python socket", "nginx"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown"],
    expect=["tcp.analysis.keep_alive"],
)
def keep_alive_probes(lab):
    lab.nginx(lab.plain_http("shop.test"))

    def ask():
        options = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1}
        with clients.connect(v4("shop.test"), 80, **options) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for line in LINES:
                connection.sendall(line)
                connection.recv(4096)
                time.sleep(1.3)

    with lab.recording():
        lab.on_phone(ask)
