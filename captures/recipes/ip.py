"""What IP itself can carry besides: options, extension headers, fragments, and messages about errors."""

import socket
import struct

from . import carriers, clients
from .catalogue import capture
from .network import PHONE, v4, v6

QUIET = ["cleartext-unknown", "missing-sni", "non-tls-encryption"]


def fetch(lab, host, address, level, option, value):
    """One TLS session from a socket with an IP option set."""
    lab.nginx(lab.https(host))

    def ask():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.setsockopt(level, option, value)
            connection.settimeout(10)
            connection.connect((address, 443))
            clients.tls_exchange(connection, clients.context(lab.pki.root), host)

    # tcpdump's own `tcp` does not look behind extension headers.
    with lab.recording(packets="not arp and not icmp6"):
        lab.on_phone(ask)


@capture(
    "ip/options.pcap",
    shows="IPv4 headers with a record-route option.",
    tools=["python ssl", "nginx"],
    silent=QUIET,
    expect=["ip.hdr_len == 40", "tls.handshake.extensions_server_name == shop.test"],
)
def options(lab):
    route = bytes([7, 19, 4]) + bytes(16) + b"\x01"
    fetch(lab, "shop.test", v4("shop.test"), socket.IPPROTO_IP, socket.IP_OPTIONS, route)


@capture(
    "ip/destination-options.pcap",
    shows="IPv6 packets with a destination options header between IPv6 and TCP.",
    tools=["python ssl", "nginx"],
    silent=QUIET,
    expect=["ipv6.dstopts", "tls.handshake.extensions_server_name == shop.test"],
)
def destination_options(lab):
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    fetch(lab, "shop.test", v6("shop.test"), socket.IPPROTO_IPV6, 59, padding)


def fragments(packet, size):
    """An IPv4 packet cut into fragments of `size` bytes."""
    header, body = packet[:20], packet[20:]
    for at in range(0, len(body), size):
        part = body[at : at + size]
        more = 0x2000 if at + size < len(body) else 0
        made = (
            header[:2]
            + struct.pack(">H", 20 + len(part))
            + header[4:6]
            + struct.pack(">H", more | at // 8)
            + header[8:10]
        )
        words = struct.unpack(">10H", made + bytes(2) + header[12:20])
        total = sum(words)
        total = (total & 0xFFFF) + (total >> 16)
        yield made + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + header[12:20] + part


def fragmented(name, shows, arrange):
    """A path that cuts each large packet towards the phone into fragments; `arrange` orders them."""

    @capture(
        f"ip/{name}.pcap",
        shows=shows,
        tools=["curl", "nginx", "tun"],
        fires=["cleartext-http"],
        silent=QUIET,
        expect=["ip.flags.mf == 1", "http.response.code == 200", "tls.handshake.type == 2"],
    )
    def record(lab):
        def policy(side, number, packet):
            if side == PHONE or packet[0] != 0x45 or len(packet) < 400:
                return [packet]
            return arrange(list(fragments(packet, 256)))

        lab.nginx(lab.https("shop.test"), lab.plain_http("news.test", body=f"return 200 '{'long ' * 400}';"))
        with carriers.through(lab, carriers.Direct(policy)), lab.recording("tun0", packets="ip"):
            lab.curl("-4", "https://shop.test/")
            lab.curl("-4", "http://news.test/")

    record.__name__ = name.replace("-", "_")


fragmented("fragments", "TCP segments in IPv4 fragments of 256 bytes.", lambda parts: parts)
fragmented(
    "fragments-reversed",
    "TCP segments in IPv4 fragments that arrive last part first.",
    lambda parts: parts[::-1],
)
fragmented(
    "fragments-duplicated",
    "TCP segments in IPv4 fragments, each of which arrives twice.",
    lambda parts: [p for p in parts for _ in (0, 1)],
)


@capture(
    "ip/unreachable.pcap",
    shows="ICMP: an echo, and the report that a UDP port is closed, with the head of the query inside.",
    tools=["ping", "dig"],
    silent=["cleartext-http", "cleartext-unknown", "missing-sni"],
    expect=["icmp.type == 3", "icmp.type == 8"],
)
def unreachable(lab):
    with lab.recording(packets="ip and not arp"):
        lab.phone("ping", "-c", "1", v4("shop.test"))
        lab.phone("dig", "+tries=1", "+time=1", "-p", "5399", "@" + v4("shop.test"), "shop.test", fails=True)
