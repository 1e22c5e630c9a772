"""Who owned a packet, and how the tools that record it write that down.

The owners are real: netfilter logged each outgoing packet of the same session with the uid of its socket. What the
functions here do is to write the recording in the layouts of tools that do not run on the recorder's machine.
"""

import ipaddress
import struct
import zlib

from .capfile import NUMBERS, Pcapng, pcap

RAW = NUMBERS["RAW"]
PCAPDROID_PEN = 62652
TRAILER_MAGIC = 0x01072021


def without_ethernet(frames):
    """The IP packets of Ethernet frames, as a VPN app sees them."""
    return [frame.with_data(frame.data[14:], RAW) for frame in frames]


def endpoints(packet):
    """(protocol, source, source port, destination, destination port) of an IP packet without options."""
    if packet[0] >> 4 == 4:
        protocol, at = packet[9], (packet[0] & 15) * 4
        source, destination = packet[12:16], packet[16:20]
    else:
        protocol, at = packet[6], 40
        source, destination = packet[8:24], packet[24:40]
    ports = struct.unpack(">HH", packet[at : at + 4]) if protocol in (6, 17) else (0, 0)
    return protocol, ipaddress.ip_address(source), ports[0], ipaddress.ip_address(destination), ports[1]


def fields_of(frame):
    """What a frame of netfilter's log holds, by type: 9 is the packet, 11 the uid."""
    fields, at = {}, 4
    while at + 4 <= len(frame.data):
        length, kind = struct.unpack("<HH", frame.data[at : at + 4])
        fields[kind] = frame.data[at + 4 : at + length]
        at += length + -length % 4
    return fields


def owners_of(nflog):
    """The uid of each flow, from netfilter's log of the outgoing packets."""
    owners = {}
    for frame in nflog:
        fields = fields_of(frame)
        if 9 in fields and 11 in fields:
            owners[endpoints(fields[9])] = int.from_bytes(fields[11], "big")
    return owners


class Ownership:
    """Answers, for a packet in either direction, which uid it belongs to."""

    def __init__(self, owners):
        self.owners = owners

    def of(self, packet):
        """(uid or None, whether the packet is outgoing)."""
        protocol, source, sport, destination, dport = endpoints(packet)
        forward = self.owners.get((protocol, source, sport, destination, dport))
        if forward is not None:
            return forward, True
        return self.owners.get((protocol, destination, dport, source, sport)), False


def pcapdroid_pcapng(frames, ownership, apps, directions=False):
    """PCAPdroid's pcapng: a UID map block before a uid's first packet, and `u-<uid>` as each packet's comment."""
    out = Pcapng()
    out.section((4, b"observer captures, in the dialect of PCAPdroid"))
    out.interface(RAW, *([(2, b"wlan0")] if directions else []))
    named = set()
    for frame in frames:
        uid, outgoing = ownership.of(frame.data)
        uid = -1 if uid is None else uid
        if uid not in named and uid in apps:
            named.add(uid)
            package, label = (name.encode() for name in apps[uid])
            body = struct.pack("<IHBxiBB", PCAPDROID_PEN, 1, 1, uid, len(package), len(label))
            out.block(0x0BAD, body + package + label)
        options = [(1, b"u-%d" % uid)]
        if directions:
            options.append((2, struct.pack("<I", 2 if outgoing else 1)))
        out.packet(frame, *options)
    return out.data


def pcapdroid_trailer(frames, ownership, apps):
    """PCAPdroid's classic pcap: a made-up Ethernet header, and a trailer with the uid and the app's name."""
    extended = []
    for frame in frames:
        uid, _ = ownership.of(frame.data)
        uid = -1 if uid is None else uid
        label = apps.get(uid, ("", ""))[1].encode()[:19]
        kind = 0x0800 if frame.data[0] >> 4 == 4 else 0x86DD
        data = bytes(12) + struct.pack(">H", kind) + frame.data
        data += bytes(-len(data) % 4) + struct.pack(">Ii20s", TRAILER_MAGIC, uid, label)
        data += struct.pack("<I", zlib.crc32(data))
        extended.append(frame.with_data(data, 1))
    return pcap(extended)
