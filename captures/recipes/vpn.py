"""Tunnels that encrypt by themselves: OpenVPN in its wrappings, WireGuard, and IKEv2 with ESP in UDP."""

import contextlib
import os
import struct
import subprocess
import time

from . import capfile
from .catalogue import capture
from .network import NET, PHONE, PHONE_V4, v4

HOST = "proxy.test"
SILENT = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]
INSIDE = {PHONE: "10.77.0.2", NET: "10.77.0.1"}


@contextlib.contextmanager
def running(lab, namespace, *command, until=None, **environment):
    """A program in a namespace, once it has said `until`, while the body runs."""
    log = lab.dir / f"{namespace}-{time.monotonic_ns()}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
        )
    try:
        for _ in range(300):
            if until is None or until.encode() in log.read_bytes():
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended early: {log.read_text()}")
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{command[0]} did not say {until}: {log.read_text()}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def greet(lab):
    """The phone sends two packets through the tunnel, which answer."""
    lab.phone("ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", INSIDE[NET])


# OpenVPN


def openvpn(file, shows, expect, *, wrapped=None, protocol="udp"):
    """OpenVPN's client and server, with the control channel in one of its wrappings."""

    @capture(
        f"opaque/openvpn-{file}.pcap",
        shows=shows,
        tools=["openvpn"],
        fires=["non-tls-encryption"],
        silent=SILENT,
        expect=expect,
    )
    def record(lab):
        server, client = lab.pki.server(HOST), lab.pki.client()
        sides = {NET: [], PHONE: []}
        if wrapped == "tls-crypt-v2":
            keys = {side: lab.dir / f"{side}.key" for side in sides}
            lab.run("openvpn", "--genkey", "tls-crypt-v2-server", keys[NET])
            unwrapped = ["--tls-crypt-v2", keys[NET], "--genkey", "tls-crypt-v2-client", keys[PHONE]]
            lab.run("openvpn", *unwrapped)
            sides = {side: ["--tls-crypt-v2", key] for side, key in keys.items()}
        elif wrapped:
            key = lab.dir / "openvpn.key"
            lab.run("openvpn", "--genkey", "secret", key)
            way = {NET: ["0"], PHONE: ["1"]} if wrapped == "tls-auth" else {NET: [], PHONE: []}
            sides = {side: [f"--{wrapped}", key, *way[side]] for side in sides}
        stream = protocol == "tcp"
        serve = ["--dev", "tun7", "--local", v4(HOST), "--port", "1194", "--topology", "subnet", "--dh", "none"]
        serve += ["--server", "10.77.0.0", "255.255.255.0", "--proto", "tcp-server" if stream else "udp"]
        join = ["--client", "--nobind", "--dev", "tun8", "--remote", v4(HOST), "1194"]
        join += ["--proto", "tcp-client" if stream else "udp"]
        common = lambda identity: [
            *("--ca", lab.pki.root, "--cert", identity.chain, "--key", identity.key, "--verb", "3"),
        ]
        begun = "Initialization Sequence Completed"
        with running(lab, NET, "openvpn", *serve, *common(server), *sides[NET], until=begun), lab.recording():
            with running(lab, PHONE, "openvpn", *join, *common(client), *sides[PHONE], until=begun):
                greet(lab)

    record.__name__ = f"openvpn_{file.replace('-', '_')}"


RESET = "openvpn.type in {0x38, 0x50}"
openvpn("plain", "OpenVPN over UDP; its control channel is bare, and TLS in it can be seen.", [RESET, "openvpn"])
openvpn(
    "tls-auth",
    "OpenVPN over UDP; its control channel is signed with a shared key.",
    ["udp.payload[0:1] == 38 && udp.length == 50"],
    wrapped="tls-auth",
)
openvpn(
    "tls-crypt",
    "OpenVPN over UDP; its control channel is encrypted with a shared key.",
    ["udp.payload[0:1] == 38 && udp.length == 62"],
    wrapped="tls-crypt",
)
openvpn(
    "tls-crypt-v2",
    "OpenVPN over UDP; its control channel is encrypted with a key of the client's own, which comes wrapped.",
    ["udp.payload[0:1] == 50"],
    wrapped="tls-crypt-v2",
)
openvpn("tcp", "OpenVPN over TCP, with a bare control channel.", ["tcp.payload[2:1] == 38"], protocol="tcp")
openvpn(
    "tcp-tls-crypt",
    "OpenVPN over TCP; its control channel is encrypted with a shared key.",
    ["tcp.payload[2:1] == 38"],
    wrapped="tls-crypt",
    protocol="tcp",
)


# WireGuard


@capture(
    "opaque/wireguard.pcap",
    shows="wireguard-go at both ends: a handshake, and two pings and their answers inside.",
    tools=["wireguard-go", "wg"],
    fires=["non-tls-encryption"],
    silent=SILENT,
    expect=["wg.type == 1", "wg.type == 2", "wg.type == 4"],
)
def wireguard(lab):
    devices = {PHONE: "wgphone", NET: "wgnet"}
    keys = {side: lab.run("wg", "genkey").stdout for side in devices}
    with contextlib.ExitStack() as stack:
        for side, device in devices.items():
            file = lab.dir / f"{device}.key"
            file.write_bytes(keys[side])
            other = NET if side == PHONE else PHONE
            peer = lab.run("wg", "pubkey", input=keys[other]).stdout.decode().strip()
            stack.enter_context(running(lab, side, "wireguard-go", "-f", device))
            address = v4(HOST) if other == NET else PHONE_V4
            words = ["private-key", file, "listen-port", "51820", "peer", peer]
            words += ["endpoint", f"{address}:51820", "allowed-ips", f"{INSIDE[other]}/32"]
            for _ in range(100):
                if lab.exec(side, "wg", "set", device, *words).returncode == 0:
                    break
                time.sleep(0.05)
            lab.run("ip", "-n", side, "addr", "add", INSIDE[side], "peer", INSIDE[other], "dev", device)
            lab.run("ip", "-n", side, "link", "set", device, "up")
        with lab.recording():
            greet(lab)


# IKEv2

CHARON = """
charon {{
  load = aes sha1 sha2 hmac kdf gmp random nonce socket-default kernel-libipsec kernel-netlink vici xcbc
  retransmit_tries = 2
  plugins {{
    vici {{ socket = unix://{socket} }}
    kernel-libipsec {{ allow_peer_ts = yes }}
  }}
}}
"""
CONNECTION = """
connections {{ lab {{
  version = 2
  local_addrs = {here}
  remote_addrs = {there}
  encap = yes
  proposals = aes256-sha256-modp2048
  local {{ auth = psk
    id = {name} }}
  remote {{ auth = psk
    id = {other} }}
  children {{ lab {{
    local_ts = {inside}/32
    remote_ts = {outside}/32
    esp_proposals = aes256-sha256
  }} }}
}} }}
secrets {{ ike-lab {{ secret = "not-a-secret" }} }}
"""


@capture(
    "opaque/ikev2.pcap",
    shows="strongSwan at both ends: IKEv2 with a shared key, and two pings and their answers inside ESP in UDP.",
    tools=["charon", "swanctl"],
    fires=["non-tls-encryption"],
    silent=SILENT,
    expect=["isakmp.exchangetype == 34", "isakmp.exchangetype == 35", "udpencap && esp"],
)
def ikev2(lab):
    addresses = {PHONE: PHONE_V4, NET: v4(HOST)}
    sockets = {side: lab.dir / f"{side}.vici" for side in addresses}
    with contextlib.ExitStack() as stack:
        for side, here in addresses.items():
            other = NET if side == PHONE else PHONE
            settings = lab.dir / f"{side}.strongswan"
            settings.write_text(CHARON.format(socket=sockets[side]))
            # Charon's process file has one place, and there are two of it.
            start = "mount -t tmpfs none /run && exec /usr/lib/ipsec/charon"
            command = ("unshare", "--mount", "sh", "-c", start)
            stack.enter_context(running(lab, side, *command, STRONGSWAN_CONF=str(settings)))
            for _ in range(100):
                if sockets[side].exists():
                    break
                time.sleep(0.05)
            lab.run("ip", "-n", side, "addr", "add", f"{INSIDE[side]}/32", "dev", "lo")
            stack.callback(lab.exec, side, "ip", "addr", "del", f"{INSIDE[side]}/32", "dev", "lo")
            connection = lab.dir / f"{side}.swanctl"
            names = {"name": side, "other": other, "here": here, "there": addresses[other]}
            connection.write_text(CONNECTION.format(inside=INSIDE[side], outside=INSIDE[other], **names))
            lab.run("swanctl", "--load-all", "--file", connection, "--uri", f"unix://{sockets[side]}")
        with lab.recording():
            lab.run("swanctl", "--initiate", "--child", "lab", "--uri", f"unix://{sockets[PHONE]}")
            greet(lab)


def bare(data):
    """A frame of ESP in UDP as it looks where no address is translated: the same packet right behind IPv4."""
    ip = bytearray(data[14:34])
    behind = data[42:]
    if ip[0] != 0x45 or ip[9] != 17 or data[36:38] != b"\x11\x94" or behind[:4] == bytes(4):
        return data
    ip[9] = 50
    ip[2:4] = struct.pack(">H", len(ip) + len(behind))
    ip[10:12] = bytes(2)
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip[10:12] = struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)
    return data[:14] + bytes(ip) + behind


@capture(
    "opaque/esp.pcap",
    shows="The session of opaque/ikev2.pcap with its ESP right behind IPv4, as where no address is translated.",
    tools=["charon", "swanctl"],
    how="converted",
    fires=["non-tls-encryption"],
    silent=SILENT,
    expect=["isakmp.exchangetype == 35", "ip.proto == 50 && esp"],
    derived=True,
)
def esp(lab):
    frames = capfile.read(lab.captures / "opaque/ikev2.pcap")
    lab.out.write_bytes(capfile.pcap([frame.with_data(bare(frame.data)) for frame in frames]))
