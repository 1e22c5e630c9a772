"""The link types that a phone's traffic comes in."""

import struct

from . import capfile, carriers
from .catalogue import capture
from .network import NET, PACKETS, PHONE

QUIET = ["cleartext-http", "cleartext-unknown", "missing-sni", "non-tls-encryption"]
HELLO = "tls.handshake.extensions_server_name == shop.test"


def visit(lab):
    """The traffic of every capture here: a look-up and a page over TLS 1.3."""
    lab.curl("https://shop.test/")


@capture(
    "link_types/raw.pcap",
    shows="RAW, as a VPN app's TUN device gives it.",
    tools=["curl", "nginx", "tun"],
    silent=QUIET,
    expect=["frame.encap_type == 7", HELLO],
)
def raw(lab):
    lab.nginx(lab.https("shop.test"))
    with carriers.through(lab, carriers.Direct(lambda side, number, packet: [packet])), lab.recording("tun0"):
        visit(lab)


def cooked(name, number, shows):
    @capture(
        f"link_types/{name}.pcap",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        silent=QUIET,
        expect=[HELLO, "sll"],
    )
    def record(lab):
        lab.nginx(lab.https("shop.test"))
        with lab.recording("any", options=["-y", number]):
            visit(lab)

    record.__name__ = name


cooked("linux-sll", "LINUX_SLL", "LINUX_SLL, as tcpdump -i any writes it on older systems.")
cooked(
    "linux-sll2",
    "LINUX_SLL2",
    "LINUX_SLL2, as tcpdump -i any writes it now, with the interface of each packet.",
)


@capture(
    "link_types/any-duplicates.pcap",
    lossy=True,
    shows="tcpdump -i any on a router sees each packet twice: on a port of its bridge, and on the bridge.",
    tools=["curl", "nginx", "linux bridge"],
    silent=QUIET,
    expect=[HELLO, "tcp.analysis.retransmission"],
)
def any_duplicates(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.bridged(), lab.recording("any", namespace=NET, packets=f"({PACKETS}) and net 198.51.100.0/24"):
        lab.curl("-4", "https://shop.test/")


@capture(
    "link_types/any-vpn.pcap",
    lossy=True,
    shows="tcpdump -i any on a phone with a VPN sees each packet in the tunnel device and again inside the tunnel.",
    tools=["curl", "nginx", "tun", "GRE"],
    silent=QUIET,
    expect=[HELLO, "gre"],
)
def any_vpn(lab):
    from .tunnels import GRE

    lab.nginx(lab.https("shop.test"))
    with carriers.through(lab, GRE), lab.recording("any", packets="ip or ip6"):
        visit(lab)


@capture(
    "link_types/loopback.pcap",
    shows="Packets far above any MTU, and wrong checksums, on the loopback device.",
    tools=["curl", "nginx"],
    fires=["cleartext-http"],
    silent=["cleartext-unknown"],
    expect=["frame.len > 9000", "http.response.code == 200"],
)
def loopback(lab):
    (lab.dir / "www").mkdir(exist_ok=True)
    (lab.dir / "www" / "big").write_bytes(b"".join(b"line %05d of a long answer\n" % n for n in range(700)))
    lab.nginx(lab.plain_http("shop.test", body=""))
    with lab.recording("lo", namespace=NET):
        lab.exec(NET, "curl", "-sS", "http://198.51.100.10/big", check=True)


@capture(
    "link_types/nflog.pcap",
    shows="NFLOG, as AFWall and PCAPdroid's root mode can give it: the uid is in the record of each outgoing packet.",
    tools=["curl", "nginx", "netfilter log"],
    silent=QUIET,
    expect=["nflog.uid == 10123", HELLO],
)
def nflog(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.owners() as log:
        lab.curl("https://shop.test/", uid=10123)
    lab.out.write_bytes(log.read_bytes())


def rewritten(name, link, shows, change, expect=()):
    """A recording whose link layer is replaced by one that Linux cannot record."""

    @capture(
        f"link_types/{name}.pcap",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        how="converted",
        silent=QUIET,
        expect=[HELLO, *expect],
        derived=True,
    )
    def record(lab):
        source = lab.captures / ("tls/ipv6.pcap" if name == "ipv6" else "tls/tls13-good.pcap")
        frames = capfile.read(source)
        if name in ("ipv4", "ipv6"):
            # These link types hold one version of IP and no other.
            frames = [
                frame
                for frame in frames
                if frame.data[12:14] == (b"\x08\x00" if name == "ipv4" else b"\x86\xdd")
            ]
        number = capfile.NUMBERS[link]
        lab.out.write_bytes(capfile.pcap([frame.with_data(change(frame.data), number) for frame in frames]))

    record.__name__ = name.replace("-", "_")


def family(data):
    """The BSD address family of an Ethernet frame's packet: 2 for IPv4, 30 for IPv6 on Darwin."""
    return 2 if data[12:14] == b"\x08\x00" else 30


def wifi(data):
    """An 802.11 data frame to the access point, with LLC and SNAP, in place of the Ethernet header."""
    header = struct.pack("<HH", 0x0108, 44) + data[0:6] + data[6:12] + data[0:6] + b"\x10\x00"
    return header + b"\xaa\xaa\x03\x00\x00\x00" + data[12:]


rewritten(
    "null",
    "NULL",
    "NULL, as a loopback device on macOS gives it.",
    lambda d: struct.pack("<I", family(d)) + d[14:],
)
rewritten(
    "loop",
    "LOOP",
    "LOOP, as a loopback device on OpenBSD gives it.",
    lambda d: struct.pack(">I", family(d)) + d[14:],
)
rewritten("ipv4", "IPV4", "IPV4: nothing but IPv4 packets.", lambda d: d[14:])
rewritten("ipv6", "IPV6", "IPV6: nothing but IPv6 packets.", lambda d: d[14:])
rewritten(
    "ppp",
    "PPP",
    "PPP, as a modem's interface gives it.",
    lambda d: b"\xff\x03" + (b"\x00\x21" if d[12:14] == b"\x08\x00" else b"\x00\x57") + d[14:],
)
rewritten(
    "ieee802-11", "IEEE802_11", "802.11 data frames without a radio header.", wifi, ["wlan.fc.type == 2"]
)
rewritten(
    "radiotap",
    "IEEE802_11_RADIOTAP",
    "802.11 data frames after a radiotap header of 8 bytes.",
    lambda d: struct.pack("<BBHI", 0, 0, 8, 0) + wifi(d),
    ["radiotap"],
)


@capture(
    "link_types/arp-only.pcap",
    shows="Nothing but ARP: the phone asks for its gateway.",
    tools=["ping"],
    silent=QUIET,
    expect=["arp"],
    forbid=["ip"],
)
def arp_only(lab):
    lab.exec(PHONE, "ip", "neigh", "flush", "dev", "wlan0")
    with lab.recording(packets="arp"):
        lab.phone("ping", "-c", "1", "10.215.173.254")
