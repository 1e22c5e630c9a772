"""One page over TLS 1.3 and one without TLS, inside each kind of tunnel."""

import struct

from . import carriers
from .carriers import Ethernet, Ip, Udp, ethertype
from .catalogue import capture
from .network import GATEWAY_V4, NET, PHONE, PHONE_V4, run

INNER_MACS = bytes.fromhex("020000000002020000000001")
ANY = "not arp and not icmp6"

GRE = Ip(lambda p: struct.pack(">HH", 0, ethertype(p)) + p, lambda d: d[4:], 47)


def with_checksum_and_key(packet):
    """GRE with all optional fields: checksum, key and sequence number (RFC 2784, RFC 2890)."""
    body = struct.pack(">HHHHII", 0xB000, ethertype(packet), 0, 0, 77, 1) + packet
    words = struct.unpack(f">{(len(body) + 1) // 2}H", body + bytes(len(body) % 2))
    total = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return body[:4] + struct.pack(">H", ~total & 0xFFFF) + body[6:]


def outer_ipv4(protocol, payload):
    """An IPv4 header between the two ends of the wire, before a payload."""
    addresses = bytes(map(int, PHONE_V4.split("."))) + bytes(map(int, GATEWAY_V4.split(".")))
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + payload


def inside(name, shows, carrier, expect, only=None, phone_v6=None):
    """One capture through one carrier; `only` is the IP version that the tunnel can hold."""

    @capture(
        f"tunnels/{name}.pcap",
        shows=shows,
        tools=["curl", "nginx", "tun"],
        fires=["cleartext-http"],
        silent=["cleartext-unknown", "missing-sni", "non-tls-encryption", "mixed-protection-host"],
        expect=[*expect, "tls.handshake.extensions_server_name == shop.test", "http.host == news.test"],
    )
    def record(lab):
        lab.nginx(lab.https("shop.test"), lab.plain_http("news.test"))
        version = ["-6"] if only == 6 else ["-4"]
        with carriers.through(lab, carrier, phone_v6=phone_v6), lab.recording(packets=ANY):
            lab.curl(*version, "https://shop.test/")
            lab.curl(*version, "http://news.test/")

    record.__name__ = name.replace("-", "_")


inside("gre", "GRE (RFC 2784) with IPv4 inside.", GRE, ["gre.proto == 0x0800"])
inside("gre-ipv6", "GRE with IPv6 inside.", GRE, ["gre.proto == 0x86dd"], only=6)
inside(
    "gre-key",
    "GRE with checksum, key and sequence number.",
    Ip(with_checksum_and_key, lambda d: d[16:], 47),
    ["gre.key == 77"],
)
inside("ipip", "IPv4 in IPv4 (RFC 2003).", Ip(lambda p: p, lambda d: d, 4), ["ip.proto == 4"])
inside("6in4", "IPv6 in IPv4 (RFC 4213).", Ip(lambda p: p, lambda d: d, 41), ["ip.proto == 41"], only=6)
inside(
    "geneve",
    "Geneve (RFC 8926) with an option, and Ethernet inside.",
    Udp(
        6081,
        lambda p: (
            struct.pack(">BBHI", 2, 0, 0x6558, 42 << 8)
            + struct.pack(">HBBI", 0x0102, 3, 1, 7)
            + INNER_MACS
            + struct.pack(">H", ethertype(p))
            + p
        ),
        lambda d: d[30:],
    ),
    ["geneve.vni == 42"],
)
inside(
    "gtp-u",
    "GTP-U, as a phone's packets travel through the core of a mobile network.",
    Udp(2152, lambda p: struct.pack(">BBHI", 0x30, 0xFF, len(p), 0xC0FFEE) + p, lambda d: d[8:]),
    ["gtp.teid == 0x00c0ffee"],
)
inside(
    "gtp-u-extension",
    "GTP-U with a PDU session container, as in 5G.",
    Udp(
        2152,
        lambda p: (
            struct.pack(">BBHI", 0x34, 0xFF, len(p) + 8, 0xC0FFEE) + bytes([0, 0, 0, 0x85, 1, 0x10, 9, 0]) + p
        ),
        lambda d: d[16:],
    ),
    ["gtp.ext_hdr.pdu_ses_con.pdu_type == 1"],
)
# RFC 4380 section 4: the prefix, the server's address, flags, and the client's mapped port and address, inverted.
TEREDO_CLIENT = "2001:0:c633:6463:8000:f227:f528:52fe"


def teredo(packet):
    """A datagram of Teredo: what comes from the server's side says first where it came from."""
    origin = struct.pack(">HH4s", 0, 0xFFFF ^ 3544, bytes(255 - part for part in (10, 215, 173, 1)))
    from_client = packet[8:12] == b"\x20\x01\x00\x00"
    return packet if from_client else origin + packet


inside(
    "teredo",
    "Teredo (RFC 4380): IPv6 in UDP, with an origin indication from the server's side.",
    Udp(3544, teredo, lambda d: d[8:] if d[:2] == bytes(2) else d),
    ["teredo"],
    only=6,
    phone_v6=TEREDO_CLIENT,
)
inside(
    "vlan",
    "Ethernet with one VLAN tag.",
    Ethernet(0x8100, lambda p: struct.pack(">HH", 0x6005, ethertype(p)) + p, lambda d: d[4:]),
    ["vlan.id == 5"],
)
inside(
    "qinq",
    "Ethernet with two VLAN tags (802.1ad).",
    Ethernet(0x88A8, lambda p: struct.pack(">HHHH", 100, 0x8100, 5, ethertype(p)) + p, lambda d: d[8:]),
    ["vlan.id == 5", "ieee8021ad.id == 100"],
)
inside(
    "mpls",
    "Two MPLS labels between Ethernet and IP.",
    Ethernet(0x8847, lambda p: struct.pack(">II", 16000 << 12 | 64, 17 << 12 | 0x140) + p, lambda d: d[8:]),
    ["mpls.label == 16000"],
)
inside(
    "pppoe",
    "PPPoE session frames, as behind a DSL router.",
    Ethernet(
        0x8864,
        lambda p: struct.pack(">BBHHH", 0x11, 0, 0x1234, len(p) + 2, 0x21 if p[0] >> 4 == 4 else 0x57) + p,
        lambda d: d[8 : 6 + int.from_bytes(d[4:6], "big")],
    ),
    ["pppoes"],
)
inside(
    "gre-in-vlan",
    "GRE inside a VLAN: two tunnels, one in the other.",
    Ethernet(
        0x8100,
        lambda p: struct.pack(">HH", 9, 0x0800) + outer_ipv4(47, struct.pack(">HH", 0, ethertype(p)) + p),
        lambda d: d[28:],
    ),
    ["vlan.id == 9 && gre"],
)


@capture(
    "tunnels/vxlan.pcap",
    shows="VXLAN (RFC 7348) by the kernel's own driver.",
    tools=["curl", "nginx", "linux vxlan"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown", "missing-sni", "non-tls-encryption", "mixed-protection-host"],
    expect=["vxlan.vni == 42", "tls.handshake.extensions_server_name == shop.test", "http.host == news.test"],
)
def vxlan(lab):
    lab.nginx(lab.https("shop.test"), lab.plain_http("news.test"))
    try:
        for side, device in ((PHONE, "wlan0"), (NET, "up0")):
            end = carriers.OUTER_V4[carriers.other(side)]
            words = f"link add vxlan42 type vxlan id 42 remote {end} dstport 4789 dev {device}"
            run("ip", "-n", side, *words.split())
            run("ip", "-n", side, "addr", "add", f"{carriers.TUNNEL_V4[side]}/24", "dev", "vxlan42")
            run("ip", "-n", side, "link", "set", "vxlan42", "mtu", "1400", "up")
        run(
            "ip",
            "-n",
            PHONE,
            "route",
            "replace",
            "198.51.100.0/24",
            "via",
            carriers.TUNNEL_V4[NET],
            "dev",
            "vxlan42",
        )
        with lab.recording(packets="udp or tcp"):
            lab.curl("-4", "https://shop.test/")
            lab.curl("-4", "http://news.test/")
    finally:
        for side in (PHONE, NET):
            lab.exec(side, "ip", "link", "del", "vxlan42")
