"""Reads and writes capture files, as far as the recipes need it.

Not the project's reader: it exists so that the recipes can rewrite recordings into other file formats, and it knows
only what the recipes themselves make.
"""

import struct
import subprocess
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

LINK_TYPES = {
    0: "NULL",
    1: "EN10MB",
    9: "PPP",
    101: "RAW",
    105: "IEEE802_11",
    108: "LOOP",
    113: "LINUX_SLL",
    127: "IEEE802_11_RADIOTAP",
    149: "USER2",
    228: "IPV4",
    229: "IPV6",
    239: "NFLOG",
    258: "PKTAP",
    276: "LINUX_SLL2",
}
NUMBERS = {name: number for number, name in LINK_TYPES.items()}


@dataclass(frozen=True)
class Frame:
    """One captured frame; `time` is in nanoseconds since the epoch."""

    time: int
    data: bytes
    link: int
    original: int
    comments: tuple = ()

    def with_data(self, data, link=None):
        """The same frame with other bytes; what a short snaplen cut off stays cut off."""
        cut = self.original - len(self.data)
        return replace(self, data=data, original=len(data) + cut, link=self.link if link is None else link)


def unpacked(data: bytes) -> bytes:
    """Undoes gzip, zstd or lz4, by magic; of a damaged gzip file, what precedes the damage."""
    if data[:2] == b"\x1f\x8b":
        return b"".join(_inflated(data))
    for magic, tool in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4")):
        if data[:4] == magic:
            return subprocess.run([tool, "-dc"], input=data, capture_output=True, check=True).stdout
    return data


def _inflated(data):
    while data[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(31)
        # In small steps, so that damage costs no more than one of them.
        for at in range(0, len(data), 16):
            try:
                yield member.decompress(data[at : at + 16])
            except zlib.error:
                return
            if member.eof:
                data = member.unused_data + data[at + 16 :]
                break
        else:
            return


def read(path) -> list[Frame]:
    """All frames up to the end of the file or its first damage."""
    data = unpacked(Path(path).read_bytes())
    return list(_pcapng(data) if data[:4] == b"\x0a\x0d\x0d\x0a" else _pcap(data))


def _pcap(data):
    magics = {
        b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
        b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
        b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
        b"\xa1\xb2\x3c\x4d": (">", 1, 16),
        b"\x34\xcd\xb2\xa1": ("<", 1000, 24),
        b"\xa1\xb2\xcd\x34": (">", 1000, 24),
    }
    if data[:4] not in magics or len(data) < 24:
        return
    order, unit, header = magics[data[:4]]
    (link,) = struct.unpack(order + "I", data[20:24])
    at = 24
    while at + header <= len(data):
        seconds, fraction, length, original = struct.unpack(order + "IIII", data[at : at + 16])
        if at + header + length > len(data) or length > 1 << 20:
            return
        yield Frame(
            seconds * 10**9 + fraction * unit,
            data[at + header : at + header + length],
            link & 0xFFFF,
            original,
        )
        at += header + length


def _pcapng(data):
    order, interfaces, at = "<", [], 0
    while at + 12 <= len(data):
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack(order + "II", data[at : at + 8])
        if length < 12 or at + length > len(data):
            return
        body = data[at + 8 : at + length - 4]
        if kind == 1:
            options = dict(_options(order, body[8:]))
            resolution = options.get(9, b"\x06")[0]
            unit = 2.0 ** -(resolution & 0x7F) if resolution & 0x80 else 10.0**-resolution
            offset = struct.unpack(order + "q", options[14])[0] if 14 in options else 0
            interfaces.append((struct.unpack(order + "H", body[:2])[0], unit, offset))
        elif kind == 6:
            interface, high, low, captured, original = struct.unpack(order + "IIIII", body[:20])
            at += length
            if interface >= len(interfaces) or captured > len(body) - 20:
                continue
            link, unit, offset = interfaces[interface]
            time = round((high << 32 | low) * unit * 10**9) if unit != 1e-9 else high << 32 | low
            comments = [v for k, v in _options(order, body[20 + captured + -captured % 4 :]) if k == 1]
            yield Frame(time + offset * 10**9, body[20 : 20 + captured], link, original, tuple(comments))
            continue
        elif kind == 3:
            (original,) = struct.unpack(order + "I", body[:4])
            yield Frame(0, body[4 : 4 + original], interfaces[0][0], original)
        elif kind == 2:
            interface, _, high, low, captured, original = struct.unpack(order + "HHIIII", body[:20])
            link, unit, _ = interfaces[interface]
            yield Frame(round((high << 32 | low) * unit * 10**9), body[20 : 20 + captured], link, original)
        at += length


def _options(order, data):
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack(order + "HH", data[at : at + 4])
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def pcap(frames, *, order="<", nanoseconds=False, link=None, snaplen=262144, kuznetzov=False) -> bytes:
    """A classic pcap file."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2CD34 if kuznetzov else 0xA1B2C3D4
    link = frames[0].link if link is None else link
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    for frame in frames:
        seconds, rest = divmod(frame.time, 10**9)
        parts.append(
            struct.pack(
                order + "IIII",
                seconds,
                rest if nanoseconds else rest // 1000,
                len(frame.data),
                frame.original,
            )
        )
        if kuznetzov:
            # The patched libpcap's record: interface index, protocol, packet type, padding.
            parts.append(struct.pack(order + "IHBx", 2, int.from_bytes(frame.data[12:14], "big"), 0))
        parts.append(frame.data)
    return b"".join(parts)


class Pcapng:
    """Builds a pcapng file, block by block."""

    def __init__(self, order="<"):
        self.order = order
        self.data = b""

    def block(self, kind, body):
        body += bytes(-len(body) % 4)
        length = struct.pack(self.order + "I", len(body) + 12)
        self.data += struct.pack(self.order + "I", kind) + length + body + length
        return self

    def options(self, *options):
        """Options as (code, bytes); ended when there are any."""
        packed = b"".join(
            struct.pack(self.order + "HH", code, len(value)) + value + bytes(-len(value) % 4)
            for code, value in options
        )
        return packed + bytes(4) if options else b""

    def section(self, *options):
        body = struct.pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
        return self.block(0x0A0D0D0A, body + self.options(*options))

    def interface(self, link, *options, snaplen=262144):
        return self.block(1, struct.pack(self.order + "HHI", link, 0, snaplen) + self.options(*options))

    def packet(self, frame, *options, interface=0, unit=1000):
        stamp = frame.time // unit
        head = struct.pack(
            self.order + "IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(frame.data), frame.original
        )
        return self.block(6, head + frame.data + bytes(-len(frame.data) % 4) + self.options(*options))


def summary(path):
    """The number of readable frames, and the link types in order of appearance."""
    frames = read(path)
    links = list(dict.fromkeys(LINK_TYPES.get(frame.link, str(frame.link)) for frame in frames))
    return len(frames), "+".join(links) or "none"
