"""The lab's addresses and names, and how to act in one of its network namespaces."""

import ctypes
import subprocess

PHONE, NET = "observer-phone", "observer-net"
PHONE_V4, GATEWAY_V4 = "10.215.173.1", "10.215.173.254"
PHONE_V6, GATEWAY_V6 = "fd00:215::1", "fd00:215::fe"

# Every server name, with the last part of its addresses 198.51.100.N and 2001:db8:100::N.
HOSTS = {
    "shop.test": 10,
    "api.shop.test": 11,
    "img.shop.test": 12,
    "a.img.shop.test": 14,
    "pay.shop.test": 13,
    "chat.test": 20,
    "sync.chat.test": 21,
    "news.test": 30,
    "weather.test": 40,
    "mail.test": 45,
    "expired.test": 50,
    "self-signed.test": 51,
    "untrusted.test": 52,
    "wrong-name.test": 53,
    "not-yet.test": 54,
    "rsa1024.test": 55,
    "sha1.test": 56,
    "no-chain.test": 57,
    "mtls.test": 60,
    # What the client makes of its certificate there: the label is the truth, see client_flight.py.
    "sent.flight.test": 61,
    "declined.flight.test": 62,
    "not-sent.flight.test": 63,
    "resumed.flight.test": 64,
    "early.flight.test": 65,
    "broken-off.flight.test": 66,
    # What the server makes of it: see refusal.py.
    "refused.flight.test": 67,
    "foreign.flight.test": 68,
    "admitted.flight.test": 69,
    "legacy.test": 70,
    "redirect.test": 80,
    "proxy.test": 90,
    # A resolver that answers over TLS, and a name that everybody knows as one: both are of the lab.
    "resolver.test": 91,
    "dns.google": 92,
    "cdn.test": 95,
    # What an Android phone asks to learn whether it is online; served by the lab like all else.
    "connectivitycheck.gstatic.com": 99,
}
ALIASES = {"www.shop.test": "cdn.test", "static.news.test": "edge.cdn.test", "edge.cdn.test": "cdn.test"}
# RFC 9460 HTTPS records: priority 1, target ".", alpn=h2, ipv4hint=198.51.100.10.
HTTPS_RECORDS = {"shop.test": "0001 00 0001 0003 02 6832 0004 0004 c633640a"}
# The same with a key for Encrypted Client Hello (RFC 9849 section 4): config_id 0, X25519, public name shop.test.
ECH_KEY = "fe0d 0038 00 0020 0020 " + "5a" * 32 + " 0004 00010001 00 09 73686f702e74657374 0000"
HTTPS_RECORDS["one.test"] = f"0001 00 0005 003e 003c {ECH_KEY}"

# IP only, without the neighbour discovery and group membership that every Linux host emits.
PACKETS = "tcp or udp or (ip[6:2] & 0x1fff != 0) or ip6 proto 44"


def v4(host):
    return f"198.51.100.{HOSTS[host]}"


def v6(host):
    return f"2001:db8:100::{HOSTS[host]}"


def run(*command, **options):
    """Runs a command that must succeed."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, **options)


def enter(namespace):
    """Moves the calling thread, and what it starts, into a network namespace."""
    with open(f"/run/netns/{namespace}") as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
