"""Files and packets that are not what they say: all that precedes the damage must still be read."""

import struct

from . import capfile
from .capfile import Pcapng, pcap
from .catalogue import capture
from .containers import plain

SOURCE = "tls/tls13-good.pcap"
QUIET = ["cleartext-unknown", "non-tls-encryption"]


def broken(file, shows, write, source=SOURCE, silent=(), fires=()):
    """One damaged file: `write(frames)` gives its bytes."""

    @capture(
        f"malformed/{file}",
        shows=shows,
        tools=["curl", "nginx"],
        how="converted",
        fires=fires,
        silent=silent,
        lossy=True,
        derived=True,
    )
    def record(lab):
        lab.out.write_bytes(write(capfile.read(lab.captures / source)))

    record.__name__ = file.replace(".", "_").replace("-", "_")


def patched(data, at, value):
    """`data` with some bytes replaced."""
    return data[:at] + value + data[at + len(value) :]


def record_at(frames, number):
    """Where the head of a record starts in a classic pcap of these frames."""
    return 24 + sum(16 + len(frame.data) for frame in frames[:number])


def block_at(data, number):
    """Where a block starts in a little-endian pcapng."""
    at = 0
    for _ in range(number):
        at += struct.unpack("<I", data[at + 4 : at + 8])[0]
    return at


# Files

broken("empty.pcap", "Nothing at all.", lambda frames: b"")
broken("header-only.pcap", "A classic pcap without a record.", lambda frames: pcap(frames)[:24])
broken("header-cut.pcap", "Half of a classic pcap's header.", lambda frames: pcap(frames)[:13])
broken(
    "text.pcap", "A text file under the name of a capture.", lambda frames: b"This is not a capture.\n" * 20
)
broken(
    "cut-in-record.pcap",
    "A classic pcap cut in the middle of a record's data.",
    lambda frames: pcap(frames)[:-30],
)
broken(
    "cut-in-head.pcap",
    "A classic pcap cut in the middle of a record's head.",
    lambda frames: pcap(frames)[: record_at(frames, 12) + 9],
)
broken(
    "huge-length.pcap",
    "One record in the middle claims four gigabytes; sound records follow it.",
    lambda frames: patched(pcap(frames), record_at(frames, 10) + 8, b"\xff\xff\xff\xff"),
)
broken(
    "wrong-length.pcap",
    "One record in the middle claims seven bytes more than it has; sound records follow it.",
    lambda frames: patched(
        pcap(frames), record_at(frames, 10) + 8, struct.pack("<I", len(frames[10].data) + 7)
    ),
)
broken(
    "noise-between.pcap",
    "A hundred bytes of noise between two records; sound records follow.",
    lambda frames: (
        pcap(frames)[: record_at(frames, 8)] + bytes(range(1, 101)) + pcap(frames)[record_at(frames, 8) :]
    ),
)
broken(
    "zero-length-records.pcap",
    "Records without data between the others.",
    lambda frames: pcap([part for frame in frames for part in (frame, frame.with_data(b""))]),
)
broken("gzip-cut.pcap.gz", "A gzip file that ends early.", lambda frames: _gzip(pcap(frames))[:-400])
broken(
    "gzip-corrupt.pcap.gz",
    "A gzip file with a damaged block in its middle.",
    lambda frames: patched(_gzip(pcap(frames)), len(_gzip(pcap(frames))) // 2, b"\xff" * 8),
)
broken("cut.pcapng", "A pcapng cut in the middle of a block.", lambda frames: plain(frames)[:-50])
broken(
    "block-length-zero.pcapng",
    "A block in the middle has a length of 0.",
    lambda frames: patched(plain(frames), block_at(plain(frames), 9) + 4, bytes(4)),
)
broken(
    "block-length-odd.pcapng",
    "A block in the middle has a length that is no multiple of four.",
    lambda frames: patched(plain(frames), block_at(plain(frames), 9) + 4, b"\x55"),
)
broken(
    "trailing-length.pcapng",
    "A block whose two lengths differ.",
    lambda frames: patched(plain(frames), block_at(plain(frames), 10) - 4, struct.pack("<I", 20)),
)
broken(
    "no-interface.pcapng",
    "Packets of an interface that was never described.",
    lambda frames: Pcapng().section().packet(frames[0]).data + plain(frames),
)
broken(
    "option-overrun.pcapng",
    "A packet's option claims to be longer than its block.",
    lambda frames: (
        Pcapng()
        .section()
        .interface(1)
        .packet(frames[0], (1, b"fine"))
        .data.replace(struct.pack("<HH", 1, 4) + b"fine", struct.pack("<HH", 1, 4000) + b"fine")
        + plain(frames)[28 + 20 :]
    ),
)
broken(
    "captured-overrun.pcapng",
    "A packet block claims more captured bytes than it holds.",
    lambda frames: patched(plain(frames), block_at(plain(frames), 7) + 20, struct.pack("<I", 60000)),
)
broken(
    "byte-order-magic.pcapng",
    "A section header whose byte-order magic is neither order.",
    lambda frames: patched(plain(frames), 8, b"\x1a\x1a\x1a\x1a"),
)


def _gzip(data):
    import gzip

    return gzip.compress(data, 9, mtime=0)


# Packets


def changed(change):
    """Applies `change(number, data)` to each frame's bytes."""
    return lambda frames: pcap(
        [frame.with_data(change(number, frame.data)) for number, frame in enumerate(frames)]
    )


broken(
    "ip-length.pcap",
    "IPv4 headers that claim 65535 bytes, or four.",
    changed(lambda n, d: patched(d, 16, (b"\xff\xff", b"\x00\x04")[n % 2])),
    "http/cleartext-get.pcap",
)
broken(
    "ip-header-length.pcap",
    "IPv4 headers with a header length of 0, or beyond the packet.",
    changed(lambda n, d: patched(d, 14, (b"\x40", b"\x4f")[n % 2])),
    "http/cleartext-get.pcap",
)
broken(
    "tcp-data-offset.pcap",
    "TCP headers with a data offset of 0, or beyond the packet.",
    changed(lambda n, d: patched(d, 46, (b"\x00", b"\xf0")[n % 2]) if d[23] == 6 else d),
    "http/cleartext-get.pcap",
)
broken(
    "tcp-options.pcap",
    "TCP options with a length of 0, which never ends.",
    changed(lambda n, d: patched(d, 54, b"\x08\x00") if d[23] == 6 else d),
    "http/cleartext-get.pcap",
    ["cleartext-unknown"],
    ["cleartext-http"],
)
broken(
    "udp-length.pcap",
    "UDP lengths of 0 and beyond the packet.",
    changed(lambda n, d: patched(d, 38, (b"\x00\x00", b"\xff\xff")[n % 2])),
    "dns/a-aaaa-https.pcap",
)
broken(
    "cut-frames.pcap",
    "Each frame is cut one byte shorter than the one before, down to nothing.",
    lambda frames: pcap(
        [frame.with_data(frame.data[: max(0, 74 - number * 4)]) for number, frame in enumerate(frames)]
    ),
)
broken(
    "vlan-tower.pcap",
    "Forty VLAN tags in one frame.",
    changed(lambda n, d: d[:12] + b"\x81\x00\x00\x05" * 40 + d[12:]),
    "http/cleartext-get.pcap",
)
broken(
    "dns-compression-loop.pcap",
    "A DNS name whose compression pointer points at itself.",
    changed(lambda n, d: patched(d, 54, b"\xc0\x0c")),
    "dns/a-aaaa-https.pcap",
    ["cleartext-unknown"],
)
broken(
    "dns-counts.pcap",
    "DNS headers that claim 65535 answers.",
    changed(lambda n, d: patched(d, 48, b"\xff\xff")),
    "dns/a-aaaa-https.pcap",
    ["cleartext-unknown"],
)
broken(
    "ipv6-extension-loop.pcap",
    "An IPv6 packet of sixty extension headers.",
    lambda frames: pcap([_extended(frame) for frame in frames if frame.data[12:14] == b"\x86\xdd"]),
    "tls/ipv6.pcap",
)


def _extended(frame):
    data = frame.data
    chain = (b"\x3c\x00\x01\x04\x00\x00\x00\x00" * 59) + bytes([data[20]]) + b"\x00\x01\x04\x00\x00\x00\x00"
    length = struct.pack(">H", struct.unpack(">H", data[18:20])[0] + len(chain))
    return frame.with_data(data[:18] + length + b"\x3c" + data[21:54] + chain + data[54:])


def hello_damage(change):
    """Damages the ClientHello of a TLS 1.3 session; `change(data, start)` gets the frame and where its record starts."""

    def write(frames):
        out = []
        for frame in frames:
            header = (
                14 + 20 + (frame.data[46] >> 4) * 4
                if frame.data[12:14] == b"\x08\x00" and frame.data[23] == 6
                else 0
            )
            is_hello = (
                header
                and frame.data[header : header + 1] == b"\x16"
                and frame.data[header + 5 : header + 6] == b"\x01"
            )
            out.append(frame.with_data(change(frame.data, header)) if is_hello else frame)
        return pcap(out)

    return write


broken(
    "tls-record-length.pcap",
    "A ClientHello's record claims 65535 bytes.",
    hello_damage(lambda d, at: patched(d, at + 3, b"\xff\xff")),
)
broken(
    "tls-record-empty.pcap",
    "A ClientHello's record claims no bytes at all.",
    hello_damage(lambda d, at: patched(d, at + 3, b"\x00\x00")),
)
broken(
    "tls-hello-length.pcap",
    "A ClientHello claims sixteen megabytes.",
    hello_damage(lambda d, at: patched(d, at + 6, b"\xff\xff\xff")),
)
broken(
    "tls-session-id-length.pcap",
    "A ClientHello whose session identifier claims 255 bytes.",
    hello_damage(lambda d, at: patched(d, at + 43, b"\xff")),
)
broken(
    "tls-version.pcap",
    "A ClientHello's record of version 9.9.",
    hello_damage(lambda d, at: patched(d, at + 1, b"\x09\x09")),
)


@capture(
    "malformed/tls-hello-cut.pcap",
    shows="A client sends half a ClientHello and hangs up; the server never answers.",
    tools=["python ssl", "nginx"],
    silent=[*QUIET, "cleartext-http", "accepted-untrusted-chain"],
    expect=["tcp.dstport == 443 && tcp.len == 100"],
)
def tls_hello_cut(lab):
    from . import clients
    from .network import v4

    lab.nginx(lab.https("shop.test"))

    def ask():
        connection = clients.connect(v4("shop.test"))

        def half(connection, data):
            connection.sendall(data[:100])
            raise ConnectionAbortedError

        try:
            clients.tls_exchange(connection, clients.context(lab.pki.root), "shop.test", send=half)
        except ConnectionAbortedError:
            connection.close()

    with lab.recording():
        lab.on_phone(ask)


@capture(
    "malformed/http-endless-head.pcap",
    shows="A request whose head has three hundred fields and no end; nginx answers 400.",
    tools=["python socket", "nginx"],
    fires=["cleartext-http"],
    silent=["non-tls-encryption"],
    expect=["http.response.code == 400"],
)
def http_endless_head(lab):
    from . import clients
    from .network import v4

    lab.nginx(lab.plain_http("shop.test"))

    def ask():
        with clients.connect(v4("shop.test"), 80) as connection:
            fields = b"".join(b"X-Field-%d: %s\r\n" % (number, b"v" * 120) for number in range(300))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n" + fields)
            connection.recv(4096)

    with lab.recording():
        lab.on_phone(ask)


@capture(
    "malformed/certificate-noise.pcap",
    shows="A TLS 1.2 server whose certificate is not one: bytes of noise in a well-formed Certificate message.",
    tools=["openssl s_client", "nginx"],
    how="converted",
    silent=["accepted-self-signed", "accepted-expired", *QUIET],
    derived=True,
)
def certificate_noise(lab):
    frames = capfile.read(lab.captures / "tls/tls12-good.pcap")
    out = []
    for frame in frames:
        at = frame.data.find(b"\x30\x82", 66)
        spoiled = (
            frame.data[:at] + b"\x99" * 40 + frame.data[at + 40 :]
            if at > 0 and b"\x0b\x00" in frame.data[66:]
            else frame.data
        )
        out.append(frame.with_data(spoiled))
    lab.out.write_bytes(pcap(out))
