"""Tunnels whose kernel drivers the recorder's machine need not have.

The packets inside are real: programs send them into a TUN device, and a thread on each end carries them across the wire
between the namespaces in the encapsulation at hand. Linux adds the outer IP header where there is one.
"""

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import threading

from .network import GATEWAY_V4, NET, PHONE, PHONE_V4, enter, run

TUNNEL_V4 = {PHONE: "10.215.174.1", NET: "10.215.174.254"}
TUNNEL_V6 = {PHONE: "fd00:216::1", NET: "fd00:216::fe"}
OUTER_V4 = {PHONE: PHONE_V4, NET: GATEWAY_V4}


def other(side):
    return NET if side == PHONE else PHONE


def ethertype(packet):
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


class Udp:
    """Packets in UDP datagrams on one port, as GTP-U, Geneve and Teredo carry them."""

    def __init__(self, port, wrap, unwrap):
        self.port, self.wrap, self.unwrap = port, wrap, unwrap

    def open(self, side):
        self_ = Udp(self.port, self.wrap, self.unwrap)
        self_.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self_.socket.bind((OUTER_V4[side], self.port))
        self_.peer = (OUTER_V4[other(side)], self.port)
        return self_

    def send(self, packet):
        self.socket.sendto(self.wrap(packet), self.peer)

    def receive(self):
        return self.unwrap(self.socket.recv(65536))


class Ip:
    """Packets straight in IPv4 under a protocol number, as GRE and 6in4 carry them."""

    def __init__(self, wrap, unwrap, protocol):
        self.wrap, self.unwrap, self.protocol = wrap, unwrap, protocol

    def open(self, side):
        self_ = Ip(self.wrap, self.unwrap, self.protocol)
        self_.sockets = {}
        self_.peer = (OUTER_V4[other(side)], 0)
        self_.socket = self_._raw(self.protocol(b"\x45") if callable(self.protocol) else self.protocol)
        return self_

    @staticmethod
    def _raw(protocol):
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)

    def send(self, packet):
        self.socket.sendto(self.wrap(packet), self.peer)

    def receive(self):
        data = self.socket.recv(65536)
        return self.unwrap(data[(data[0] & 15) * 4 :])


class Ethernet:
    """Packets in Ethernet frames after a shim, as VLAN tags, MPLS and PPPoE carry them."""

    AUXDATA = 8
    VLAN_VALID = 0x10

    def __init__(self, kind, wrap, unwrap):
        self.kind, self.wrap, self.unwrap = kind, wrap, unwrap

    def open(self, side):
        self_ = Ethernet(self.kind, self.wrap, self.unwrap)
        device = "wlan0" if side == PHONE else "up0"
        self_.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self_.socket.bind((device, 3))
        self_.socket.setsockopt(263, self.AUXDATA, 1)
        self_.own = hardware_address(side, device)
        self_.peer = hardware_address(other(side), "up0" if side == PHONE else "wlan0")
        return self_

    def send(self, packet):
        self.socket.send(self.peer + self.own + struct.pack(">H", self.kind) + self.wrap(packet))

    def receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(65536, 256)
        if data[6:12] != self.peer:
            return None
        for _, kind, value in ancillary:
            status, _, _, _, _, tag, protocol = struct.unpack("IIIHHHH", value[:20])
            if kind == self.AUXDATA and status & self.VLAN_VALID:
                # The kernel took the outer tag out of the frame: it goes back in.
                data = data[:12] + struct.pack(">HH", protocol or 0x8100, tag) + data[12:]
        if data[12:14] != struct.pack(">H", self.kind):
            return None
        return self.unwrap(data[14:])


class Direct:
    """No encapsulation at all: packets pass from end to end, as `policy` lets them.

    `policy(side, number, packet)` says which packets to deliver in the place of the one that `side` sent.
    """

    def __init__(self, policy):
        self.policy = policy
        self.ends = dict(zip((PHONE, NET), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)))

    def open(self, side):
        end = Direct.__new__(Direct)
        end.policy, end.socket, end.side, end.number = self.policy, self.ends[side], side, 0
        return end

    def send(self, packet):
        self.number += 1
        for passed in self.policy(self.side, self.number, packet):
            self.socket.send(passed)

    def receive(self):
        return self.socket.recv(65536)


def hardware_address(namespace, device):
    shown = run("ip", "-n", namespace, "-br", "link", "show", device).stdout.split()[2]
    return bytes.fromhex(shown.decode().replace(":", ""))


@contextlib.contextmanager
def through(lab, carrier, mtu=1400, phone_v6=None):
    """Sends all that goes to the lab's servers through a carrier, for as long as the body runs.

    `phone_v6` replaces the phone's IPv6 address inside the tunnel.
    """
    stop, threads = threading.Event(), []
    try:
        for side in (PHONE, NET):
            ready = threading.Event()
            thread = threading.Thread(
                target=_carry, args=(side, carrier, stop, ready, mtu, phone_v6), daemon=True
            )
            thread.start()
            threads.append(thread)
            if not ready.wait(5):
                raise RuntimeError("the tunnel did not come up")
        for route in (("-4", "198.51.100.0/24"), ("-6", "2001:db8:100::/64")):
            run("ip", "-n", PHONE, route[0], "route", "replace", route[1], "dev", "tun0")
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)


def _carry(side, carrier, stop, ready, mtu, phone_v6):
    enter(side)
    own_v6 = phone_v6 if side == PHONE and phone_v6 else TUNNEL_V6[side]
    device = os.open("/dev/net/tun", os.O_RDWR)
    # TUNSETIFF with IFF_TUN and IFF_NO_PI.
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x0001 | 0x1000))
    for command in (
        f"addr add {TUNNEL_V4[side]}/24 dev tun0",
        f"-6 addr add {own_v6}/64 dev tun0 nodad",
        f"link set tun0 mtu {mtu} up",
        f"-6 route replace {phone_v6 or TUNNEL_V6[PHONE]}/128 dev tun0" if side == NET else "-6 route show",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    end = carrier.open(side)
    ready.set()
    with end.socket:
        while not stop.is_set():
            readable, _, _ = select.select([device, end.socket], [], [], 0.05)
            if device in readable:
                end.send(os.read(device, 65536))
            if end.socket in readable and (packet := end.receive()):
                with contextlib.suppress(OSError):
                    os.write(device, packet)
    os.close(device)
