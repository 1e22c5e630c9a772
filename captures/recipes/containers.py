"""One recording in every container that capture files come in."""

import struct
import subprocess

from . import capfile
from .capfile import Pcapng, pcap
from .catalogue import capture

SOURCE = "tls/tls13-good.pcap"
QUIET = ["cleartext-http", "cleartext-unknown", "missing-sni", "non-tls-encryption", "tls-version-negotiated"]
HELLO = "tls.handshake.extensions_server_name == shop.test"


def rewritten(file, shows, write, expect=(HELLO,), source=SOURCE):
    """One capture: `write(frames)` gives the bytes of the same frames in another container."""

    @capture(
        f"containers/{file}",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        how="converted",
        silent=QUIET,
        expect=expect,
        derived=True,
    )
    def record(lab):
        lab.out.write_bytes(write(capfile.read(lab.captures / source)))

    record.__name__ = file.replace(".", "_").replace("-", "_")


def tool(*command):
    """What a program makes of its standard input."""
    return lambda frames: subprocess.run(command, input=pcap(frames), capture_output=True, check=True).stdout


# Classic pcap

rewritten("big-endian.pcap", "Classic pcap, big-endian.", lambda frames: pcap(frames, order=">"))
rewritten("nanoseconds.pcap", "Classic pcap with nanoseconds.", lambda frames: pcap(frames, nanoseconds=True))
rewritten(
    "nanoseconds-big-endian.pcap",
    "Classic pcap with nanoseconds, big-endian.",
    lambda frames: pcap(frames, nanoseconds=True, order=">"),
)
rewritten(
    "kuznetzov.pcap",
    "Alexey Kuznetzov's pcap, with eight more bytes a record.",
    lambda frames: pcap(frames, kuznetzov=True),
)
rewritten(
    "fcs-bits.pcap",
    "Classic pcap whose link type word says, in its upper bits, that frames may end in a checksum.",
    lambda frames: pcap(frames, link=1 | 0x14000000),
    # tshark takes the checksum's length at its word.
    expect=(),
)
rewritten(
    "snaplen-zero.pcap",
    "Classic pcap whose header says a snaplen of 0, which means no limit.",
    lambda frames: pcap(frames, snaplen=0),
)
rewritten("named-wrong.pcapng", "Classic pcap under the name of a pcapng.", pcap)

# Compressed

rewritten("compressed.pcap.gz", "Classic pcap in gzip.", tool("gzip", "-9", "-n"))
rewritten(
    "compressed-members.pcap.gz",
    "Classic pcap in gzip, in two members one after the other.",
    lambda frames: b"".join(
        subprocess.run(["gzip", "-9", "-n"], input=part, capture_output=True, check=True).stdout
        for part in (pcap(frames)[:1000], pcap(frames)[1000:])
    ),
)
rewritten("compressed.pcap.zst", "Classic pcap in zstd.", tool("zstd", "-q", "-19", "--check"))
rewritten("compressed.pcap.lz4", "Classic pcap in an lz4 frame.", tool("lz4", "-q", "-9"))
rewritten(
    "compressed.pcapng.gz",
    "pcapng in gzip.",
    lambda frames: (
        subprocess.run(["gzip", "-9", "-n"], input=plain(frames), capture_output=True, check=True).stdout
    ),
)

# pcapng


def plain(frames, order="<"):
    out = Pcapng(order)
    out.section()
    out.interface(frames[0].link)
    for frame in frames:
        out.packet(frame)
    return out.data


def two_sections(frames):
    """A little-endian and a big-endian section, each with its own interfaces."""
    half = len(frames) // 2
    first = Pcapng("<").section((4, b"first")).interface(1, (2, b"wlan0"))
    for frame in frames[:half]:
        first.packet(frame)
    second = (
        Pcapng(">")
        .section((4, b"second"))
        .interface(101, (2, b"unused"))
        .interface(1, (2, b"wlan0"), (9, b"\x09"))
    )
    for frame in frames[half:]:
        second.packet(frame, interface=1, unit=1)
    return first.data + second.data


def link_types(frames):
    """Ethernet and RAW interfaces in turn, with other resolutions: microseconds, and parts of 2^-20 seconds."""
    out = Pcapng().section().interface(1, (2, b"wlan0")).interface(101, (2, b"tun0"), (9, b"\x94"))
    for number, frame in enumerate(frames):
        if number % 2:
            seconds, rest = divmod(frame.time, 10**9)
            stamp = (seconds << 20) + ((rest << 20) + 10**9 - 1) // 10**9
            out.packet(capfile.Frame(stamp, frame.data[14:], 101, frame.original - 14), interface=1, unit=1)
        else:
            out.packet(frame)
    return out.data


def offset(frames):
    """Timestamps that count from 2026-01-01, which if_tsoffset says."""
    start = 1767225600
    out = Pcapng().section().interface(1, (14, struct.pack("<q", start)))
    for frame in frames:
        out.packet(capfile.Frame(frame.time - start * 10**9, frame.data, 1, frame.original))
    return out.data


def simple_packets(frames):
    """Simple Packet Blocks: no timestamps, and the interface is always the first."""
    out = Pcapng().section().interface(1)
    for frame in frames:
        out.block(3, struct.pack("<I", frame.original) + frame.data)
    return out.data


def obsolete_packets(frames):
    """The obsolete Packet Block, with a drop count in its head."""
    out = Pcapng().section().interface(1)
    for number, frame in enumerate(frames):
        stamp = frame.time // 1000
        head = struct.pack(
            "<HHIIII",
            0,
            3 if number == 5 else 0,
            stamp >> 32,
            stamp & 0xFFFFFFFF,
            len(frame.data),
            frame.original,
        )
        out.block(2, head + frame.data)
    return out.data


def all_blocks(frames):
    """Name resolution, statistics with drops, comments, custom blocks and options, and a block of no known type."""
    out = Pcapng().section((1, b"a section's comment"), (4, b"observer captures"))
    out.interface(1, (2, b"wlan0"), (3, b"the radio"), (11, b"\x00tcp or udp"), (12, b"Linux"))
    names = struct.pack("<HH", 1, 14) + bytes([198, 51, 100, 10]) + b"shop.test\x00" + bytes(2)
    out.block(4, names + struct.pack("<HH", 0, 0))
    out.block(0x0BAD, struct.pack("<I", 99999) + b"what nobody knows")
    out.block(0x40000BAD, struct.pack("<I", 99999) + b"and must not copy")
    for number, frame in enumerate(frames):
        options = [(1, b"the first"), (1, b"two comments")] if number == 0 else []
        if number == 1:
            options = [
                (2988, struct.pack("<I", 99999) + b"custom text"),
                (4, struct.pack("<Q", 7)),
                (3, b"\x02\x00\x00\x00\x00"),
            ]
        out.packet(frame, *options)
        if number == 3:
            out.block(0x0DECAF00, b"a block of no known type")
    stamp = frames[-1].time // 1000
    counts = out.options(
        (4, struct.pack("<Q", len(frames) + 12)), (5, struct.pack("<Q", 12)), (7, struct.pack("<Q", 2))
    )
    out.block(5, struct.pack("<III", 0, stamp >> 32, stamp & 0xFFFFFFFF) + counts)
    return out.data


def unknown_length(frames):
    """A section whose length is not given, and one whose length is: both are in use."""
    out = Pcapng().section().interface(1)
    for frame in frames:
        out.packet(frame)
    length = struct.pack("<q", len(out.data) - 28)
    return out.data[:16] + length + out.data[24:]


rewritten("little-endian.pcapng", "pcapng, little-endian.", plain)
rewritten("big-endian.pcapng", "pcapng, big-endian.", lambda frames: plain(frames, ">"))
rewritten("two-sections.pcapng", "pcapng with a little-endian and a big-endian section.", two_sections)
rewritten(
    "two-link-types.pcapng",
    "pcapng with an Ethernet and a RAW interface in turn, and two resolutions.",
    link_types,
)
rewritten("time-offset.pcapng", "pcapng with if_tsoffset: timestamps that count from 2026-01-01.", offset)
rewritten(
    "simple-packets.pcapng", "pcapng of Simple Packet Blocks, which have no timestamps.", simple_packets
)
rewritten("obsolete-packets.pcapng", "pcapng of obsolete Packet Blocks.", obsolete_packets)
rewritten(
    "all-blocks.pcapng",
    "pcapng with names, statistics, comments, custom and unknown blocks and options.",
    all_blocks,
    [HELLO, 'frame.comment == "two comments"'],
)
rewritten("section-length.pcapng", "pcapng whose section header gives the section's length.", unknown_length)


def secrets(file, shows, late):
    """A recording with the session's keys in a Decryption Secrets Block."""

    @capture(
        f"containers/{file}",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        how="converted",
        fires=["missing-csp", "missing-hsts", "missing-nosniff"],
        silent=QUIET,
        expect=[HELLO] if late else [HELLO, "http.response.code == 200"],
    )
    def record(lab):
        lab.nginx(lab.https("shop.test"))
        keys = lab.dir / "keys.txt"
        keys.unlink(missing_ok=True)
        with lab.recording(file=lab.temporary("wire.pcap")) as wire:
            lab.curl(
                "https://shop.test/",
                env={"SSLKEYLOGFILE": str(keys), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        text = keys.read_bytes()
        block = struct.pack("<II", 0x544C534B, len(text)) + text
        out = Pcapng().section().interface(1)
        if not late:
            out.block(0x0A, block)
        for frame in capfile.read(wire):
            out.packet(frame)
        if late:
            out.block(0x0A, block)
        lab.out.write_bytes(out.data)

    record.__name__ = file.replace(".", "_").replace("-", "_")


secrets("secrets-first.pcapng", "pcapng with the session's keys before its packets.", False)
secrets(
    "secrets-last.pcapng", "pcapng with the session's keys after its packets, as PCAPdroid writes them.", True
)


@capture(
    "containers/merged-out-of-order.pcapng",
    shows="Two recordings appended without sorting: the clock goes back by some seconds in the middle.",
    tools=["curl", "nginx", "mergecap"],
    how="converted",
    silent=["cleartext-unknown", "non-tls-encryption"],
    expect=[HELLO, "http.host == news.test"],
    fires=["cleartext-http"],
    derived=True,
)
def merged_out_of_order(lab):
    lab.run(
        "mergecap",
        "-a",
        "-w",
        lab.out,
        *sorted(
            (lab.captures / name for name in (SOURCE, "http/cleartext-get.pcap")),
            key=lambda path: -capfile.read(path)[0].time,
        ),
    )


@capture(
    "containers/years-apart.pcap",
    lossy=True,
    shows="A page over TLS, and the same again eleven years later in the same file.",
    tools=["curl", "nginx", "dnsmasq"],
    how="converted",
    silent=["cleartext-unknown", "non-tls-encryption", "missing-sni"],
    expect=[HELLO],
    derived=True,
)
def years_apart(lab):
    from dataclasses import replace

    frames = capfile.read(lab.captures / SOURCE)
    later = [replace(frame, time=frame.time + 11 * 365 * 86400 * 10**9) for frame in frames]
    lab.out.write_bytes(pcap(frames + later))


for half, part in (("first", 0), ("second", 1)):
    rewritten(
        f"rotated-{part + 1}.pcap",
        f"The {half} of two files of one recording: a TLS session begins in the first and ends in the second.",
        lambda frames, part=part: pcap(
            frames[: len(frames) // 2] if part == 0 else frames[len(frames) // 2 :]
        ),
        expect=[HELLO] if part == 0 else (),
    )
