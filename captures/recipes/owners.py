"""Who owned a packet, in each dialect that writes it down.

One session of two apps under their real uids, and netfilter's log of it, is recorded afresh for each file; the tools
whose dialects these are do not run here, so that the layouts are written by `dialects`.
"""

import struct

from . import capfile, dialects
from .catalogue import capture
from .network import v4

SHOP, CHAT, SYSTEM = 10123, 10145, 1073
APPS = {
    SHOP: ("com.example.shop", "Shop"),
    CHAT: ("com.example.chat", "Chat & calls, the long title"),
    SYSTEM: ("com.android.networkstack", "Network manager"),
}
# The processes as the dialects of desktop systems name them: uid -> (pid, name, path).
PROCESSES = {
    SHOP: (4321, "shop", "/opt/shop/bin/shop"),
    CHAT: (5678, "chat", "/opt/chat/chat"),
    SYSTEM: (815, "netmgr", "/usr/sbin/netmgr"),
}
RULES = {"fires": ["cleartext-http"], "silent": ["cleartext-unknown", "mixed-protection-host", "missing-sni"]}


def session(lab):
    """Shop over TLS 1.3, Chat without TLS, and the system's own probe; look-ups go out as the resolver's user, root."""
    lab.nginx(
        lab.https("shop.test"), lab.plain_http("chat.test"), lab.plain_http("connectivitycheck.gstatic.com")
    )
    with lab.android_resolver(0), lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")) as wire:
        lab.curl("-4", "http://connectivitycheck.gstatic.com/generate_204", uid=SYSTEM)
        lab.curl("-4", "https://shop.test/", uid=SHOP)
        lab.curl("-4", "http://chat.test/messages", uid=CHAT)
    ownership = dialects.Ownership(dialects.owners_of(capfile.read(log)))
    return capfile.read(wire), ownership, log


def dialect(file, shows, write, expect=()):
    """One capture in one dialect: `write(ethernet_frames, ownership)` gives the file's bytes."""

    @capture(
        f"owners/{file}",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq", "netfilter log"],
        how="converted",
        expect=expect,
        **RULES,
    )
    def record(lab):
        frames, ownership, _ = session(lab)
        lab.out.write_bytes(write(frames, ownership))

    record.__name__ = file.rpartition(".")[0].replace("-", "_").replace("/", "_")


@capture(
    "owners/nflog.pcap",
    shows="Netfilter's log itself: uid and gid in the record of each outgoing packet, nothing in the incoming ones.",
    tools=["curl", "nginx", "dnsmasq", "netfilter log"],
    expect=["nflog.uid == 10123", "nflog.uid == 10145", "nflog.uid == 1073", "nflog && !nflog.uid"],
    **RULES,
)
def nflog(lab):
    _, _, log = session(lab)
    lab.out.write_bytes(log.read_bytes())


@capture(
    "owners/shared-address.pcapng",
    shows="Two apps resolve two names of one address, and reach it without SNI: each means the name that it asked for.",
    tools=["dig", "curl", "nginx", "dnsmasq", "netfilter log"],
    how="converted",
    fires=["missing-sni"],
    silent=["cleartext-http", "mixed-protection-host"],
    expect=["dns.qry.name == one.test", "dns.qry.name == two.test", 'frame.comment == "u-10145"'],
    forbid=["tls.handshake.extensions_server_name"],
)
def shared_address(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")) as wire:
        lab.phone("dig", "+nocookie", "one.test", uid=SHOP)
        lab.phone("dig", "+nocookie", "two.test", uid=CHAT)
        for uid in (SHOP, CHAT):
            lab.curl("-k", f"https://{v4('shop.test')}/", uid=uid)
    frames = dialects.without_ethernet(capfile.read(wire))
    ownership = dialects.Ownership(dialects.owners_of(capfile.read(log)))
    lab.out.write_bytes(dialects.pcapdroid_pcapng(frames, ownership, APPS))


# PCAPdroid

dialect(
    "pcapdroid.pcap",
    "PCAPdroid's classic pcap: a made-up Ethernet header and a trailer with uid and app name; one name is cut.",
    lambda frames, owners: dialects.pcapdroid_trailer(dialects.without_ethernet(frames), owners, APPS),
)
dialect(
    "pcapdroid.pcapng",
    "PCAPdroid's pcapng: UID map blocks, and `u-10123` as the comment of a packet.",
    lambda frames, owners: dialects.pcapdroid_pcapng(dialects.without_ethernet(frames), owners, APPS),
    ['frame.comment == "u-10123"', 'frame.comment == "u-0"'],
)
dialect(
    "pcapdroid-root.pcapng",
    "PCAPdroid's pcapng as its root mode writes it: an interface name, and the direction of each packet.",
    lambda frames, owners: dialects.pcapdroid_pcapng(dialects.without_ethernet(frames), owners, APPS, True),
    ['frame.comment == "u-10145"', "frame.packet_flags_direction == 2"],
)
dialect(
    "pcapdroid-unknown.pcapng",
    "PCAPdroid's pcapng in which no packet could be attributed: `u--1` everywhere.",
    lambda frames, owners: dialects.pcapdroid_pcapng(
        dialects.without_ethernet(frames), dialects.Ownership({}), APPS
    ),
    ['frame.comment == "u--1"'],
)


def without_trailer(frames, ownership):
    """The trap of PCAPdroid's short snaplen: the file says Ethernet, and the packets are bare IP."""
    return capfile.pcap(dialects.without_ethernet(frames), link=capfile.NUMBERS["EN10MB"])


@capture(
    "owners/pcapdroid-no-room.pcap",
    shows="PCAPdroid's classic pcap where the trailer did not fit: the file says Ethernet, the packets are bare IP.",
    tools=["curl", "nginx", "dnsmasq", "netfilter log"],
    how="converted",
    **RULES,
)
def pcapdroid_no_room(lab):
    frames, ownership, _ = session(lab)
    lab.out.write_bytes(without_trailer(frames, ownership))


@capture(
    "owners/two-users.pcapng",
    shows="PCAPdroid's pcapng: the same app under the phone's owner (10123) and in a work profile (1010123).",
    tools=["curl", "nginx", "dnsmasq", "netfilter log"],
    how="converted",
    expect=['frame.comment == "u-10123"', 'frame.comment == "u-1010123" && http'],
    **RULES,
)
def two_users(lab):
    work = 10 * 100000 + SHOP
    lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test"))
    with lab.android_resolver(0), lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")) as wire:
        lab.curl("-4", "https://shop.test/", uid=SHOP)
        lab.curl("-4", "http://shop.test/", uid=work)
    ownership = dialects.Ownership(dialects.owners_of(capfile.read(log)))
    packets = dialects.without_ethernet(capfile.read(wire))
    lab.out.write_bytes(dialects.pcapdroid_pcapng(packets, ownership, APPS | {work: APPS[SHOP]}))


# Desktop tools


def ptcpdump(frames, ownership):
    """ptcpdump: several comments of `Key: value` lines a packet, nanoseconds, a dummy interface first."""
    out = capfile.Pcapng()
    out.section((1, b"ptcpdump: https://github.com/mozillazg/ptcpdump"), (3, b"linux"), (4, b"ptcpdump 0.37"))
    out.interface(1, (2, b"dummy"), (9, b"\x09"))
    out.interface(
        1, (1, b"ifIndex: 2, netNsInode: 4026531840, netNsPath: /proc/1/ns/net"), (2, b"wlan0"), (9, b"\x09")
    )
    for frame in frames:
        uid, outgoing = ownership.of(frame.data[14:])
        options = [(2, struct.pack("<I", 2 if outgoing else 1))]
        if uid in PROCESSES:
            pid, name, path = PROCESSES[uid]
            options += [
                (1, f"PID: {pid}\nCmd: {path}\nArgs: {path} --quiet".encode()),
                (1, f"ThreadId: {pid + 1}\nThreadName: {name}-net".encode()),
                (1, f"UserId: {uid}".encode()),
                (1, b"ParentPID: 1\nParentCmd: /usr/lib/systemd/systemd\nParentArgs: /sbin/init"),
            ]
        out.packet(frame, *options, interface=1, unit=1)
    return out.data


def rustnet(frames, ownership):
    """RustNet: one comment of `key=value` words a packet."""
    out = capfile.Pcapng()
    out.section((4, b"rustnet"))
    out.interface(1, (2, b"wlan0"))
    for frame in frames:
        uid, outgoing = ownership.of(frame.data[14:])
        options = []
        if uid in PROCESSES:
            pid, name, _ = PROCESSES[uid]
            direction = "outgoing" if outgoing else "incoming"
            text = f"rustnet process={name} pid={pid} ppid=1 uid={uid} attr=exact direction={direction}"
            options.append((1, text.encode()))
        out.packet(frame, *options)
    return out.data


def process_ids(frames, ownership):
    """The standard's own EPB option 8: process and thread, and no more than that."""
    out = capfile.Pcapng()
    out.section((4, b"observer captures"))
    out.interface(1, (2, b"wlan0"))
    for frame in frames:
        uid, outgoing = ownership.of(frame.data[14:])
        pid = PROCESSES[uid][0] if uid in PROCESSES else 0
        thread = pid + 1 if outgoing and pid else 0
        out.packet(frame, (2, struct.pack("<I", 2 if outgoing else 1)), (8, struct.pack("<II", pid, thread)))
    return out.data


def darwin(frames, ownership):
    """Apple's tcpdump: a process block for each process, and its index in an option of each packet."""
    out = capfile.Pcapng()
    out.section((3, b"Darwin 25.0.0"), (4, b"tcpdump (libpcap version 1.10.1 - Apple version 149)"))
    out.interface(1, (2, b"en0"))
    indexes = {}
    for frame in frames:
        uid, outgoing = ownership.of(frame.data[14:])
        options = [(2, struct.pack("<I", 2 if outgoing else 1))]
        if uid in PROCESSES:
            if uid not in indexes:
                pid, name, path = PROCESSES[uid]
                indexes[uid] = len(indexes)
                named = out.options((2, name.encode()), (3, path.encode()), (4, bytes(range(16))))
                out.block(0x80000001, struct.pack("<I", pid) + named)
            options.append((0x8001, struct.pack("<I", indexes[uid])))
            options.append((0x8003, struct.pack("<I", indexes[SHOP if SHOP in indexes else uid])))
        out.packet(frame, *options)
    return out.data


def pktap(version, number):
    """PKTAP, macOS's pseudo-interface: a header with the process before each packet."""

    def write(frames, ownership):
        headed = []
        for frame in frames:
            uid, outgoing = ownership.of(frame.data[14:])
            pid, name, _ = PROCESSES.get(uid, (-1, "", ""))
            flags = 2 if outgoing else 1
            if version == 1:
                header = struct.pack(
                    "<III24sIIIIi20sIHHi20s",
                    156,
                    1,
                    1,
                    b"en0",
                    flags,
                    2,
                    14,
                    0,
                    pid,
                    name.encode(),
                    0,
                    6,
                    0,
                    -1,
                    b"",
                )
                header += bytes(156 - len(header))
            else:
                # Offsets of the two UUIDs, the interface's name, and the two command names; 0 for what is not there.
                names = b"en0\x00" + name.encode()[:19] + b"\x00"
                header = struct.pack(
                    "<BBBBBBHHHHHIIIiiI",
                    40 + len(names),
                    0,
                    0,
                    40,
                    44,
                    0,
                    1,
                    14,
                    0,
                    6,
                    6,
                    2,
                    0,
                    0,
                    pid,
                    -1,
                    flags | 0x80000,
                )
                header += names
            headed.append(frame.with_data(header + frame.data, number))
        return capfile.pcap(headed)

    return write


dialect(
    "ptcpdump.pcapng",
    "ptcpdump: comments of `Key: value` lines with process, thread, user and parent.",
    ptcpdump,
    ['frame.comment contains "PID: 4321"'],
)
dialect(
    "rustnet.pcapng",
    "RustNet: comments of `key=value` words.",
    rustnet,
    ['frame.comment contains "process=shop"'],
)
dialect("process-ids.pcapng", "pcapng's own option 8: process and thread numbers.", process_ids)
dialect("darwin.pcapng", "Apple's tcpdump: process blocks, and options that point at them.", darwin)
dialect("pktap-v1.pcap", "PKTAP version 1, link type 258.", pktap(1, 258), ["pktap.pid == 4321"])
dialect("pktap-user2.pcap", "PKTAP version 1 under link type 149, as macOS itself writes it.", pktap(1, 149))
dialect("pktap-v2.pcap", "PKTAP version 2, link type 258.", pktap(2, 258))
