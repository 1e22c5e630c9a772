"""Protocols of nobody: text, noise, and what only looks like either."""

import gzip
import json
import os
import subprocess
import time

from . import clients
from .catalogue import capture
from .network import v4

RULES = ["cleartext-http", "cleartext-unknown", "non-tls-encryption"]


def conversation(lab, host, port, lines, answer):
    """A client that sends each line and waits for the answer."""

    def serve(connection):
        while data := connection.recv(65536):
            connection.sendall(answer(data))

    lab.serve_python(serve, host, port)

    def ask():
        with clients.connect(v4(host), port) as connection:
            for line in lines:
                connection.sendall(line)
                connection.recv(65536)
                time.sleep(0.01)

    with lab.recording():
        lab.on_phone(ask)


def packed(file, shows, tools, expect, pack, *, fires=("cleartext-unknown",), frame=True):
    """Events in a binary format, each behind its length; `pack` runs in the recorder's environment."""

    @capture(
        f"unknown/{file}.pcap",
        shows=shows,
        tools=tools,
        fires=list(fires),
        silent=[rule for rule in RULES if rule not in fires],
        expect=[expect],
    )
    def record(lab):
        events = [
            {"device": f"phone-{n}", "event": "screen_view", "screen": "checkout", "mail": "alice@shop.test"}
            for n in range(6)
        ]
        messages = [pack(event) for event in events]
        if frame:
            messages = [len(message).to_bytes(4, "big") + message for message in messages]
        conversation(lab, "sync.chat.test", 7300, messages, lambda data: b"\x00\x00\x00\x01\x00")

    record.__name__ = file.replace("-", "_")


def as_msgpack(event):
    import msgpack

    return msgpack.packb(event)


def as_cbor(event):
    import cbor2

    return cbor2.dumps(event)


def as_gzip(event):
    return gzip.compress(json.dumps([event] * 3).encode())


def as_aes(event):
    """AES-256-CTR under a key of its own, which openssl does."""
    key, counter = os.urandom(32).hex(), os.urandom(16).hex()
    command = ["openssl", "enc", "-aes-256-ctr", "-K", key, "-iv", counter]
    text = json.dumps(event).encode()
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


packed(
    "msgpack",
    "Events in MessagePack over TCP, each behind its length.",
    ["python msgpack"],
    'tcp.payload contains "screen_view"',
    as_msgpack,
)
packed(
    "cbor",
    "Events in CBOR over TCP, each behind its length.",
    ["python cbor2"],
    'tcp.payload contains "screen_view"',
    as_cbor,
)
packed(
    "gzip",
    "Events in JSON, compressed with gzip, over TCP.",
    ["python gzip"],
    "tcp.payload contains 1f:8b:08",
    as_gzip,
)
packed(
    "aes",
    "Events under AES of the app's own, which nobody can read and which are not TLS, over TCP.",
    ["openssl enc"],
    "tcp.port == 7300 && tcp.len > 80",
    as_aes,
    fires=["non-tls-encryption"],
    frame=False,
)


def others(*fires):
    return [rule for rule in RULES if rule not in fires]


@capture(
    "unknown/line-protocol.pcap",
    shows="A home-made chat protocol of text lines over TCP.",
    tools=["python socket"],
    fires=["cleartext-unknown"],
    silent=others("cleartext-unknown"),
    expect=['tcp.payload contains "SAY room=lobby"'],
)
def line_protocol(lab):
    lines = [b"HI 3 user=alice device=phone\n"]
    lines += [
        b"SAY room=lobby text=this is message number %d, and everybody can read it\n" % n for n in range(12)
    ]
    conversation(lab, "chat.test", 7000, lines, lambda data: b"OK " + data)


@capture(
    "unknown/json-lines.pcap",
    shows="JSON objects, one a line, over TCP.",
    tools=["python socket"],
    fires=["cleartext-unknown"],
    silent=others("cleartext-unknown"),
    expect=['tcp.payload contains "latitude"'],
)
def json_lines(lab):
    lines = [
        b'{"seq":%d,"latitude":52.5163,"longitude":13.3777,"battery":81,"screen":"on"}\n' % n
        for n in range(10)
    ]
    conversation(lab, "weather.test", 9000, lines, lambda data: b'{"ok":true,"seen":%d}\n' % len(data))


@capture(
    "unknown/opaque.pcap",
    shows="A home-made protocol that looks like noise in both directions: encrypted perhaps, and not TLS.",
    tools=["python socket"],
    fires=["non-tls-encryption"],
    silent=others("non-tls-encryption"),
    expect=["tcp.len == 512"],
)
def opaque(lab):
    conversation(lab, "chat.test", 7443, [os.urandom(512) for _ in range(8)], lambda data: os.urandom(700))


@capture(
    "unknown/opaque-on-443.pcap",
    shows="The same noise on port 443: the port does not make it TLS.",
    tools=["python socket"],
    fires=["non-tls-encryption"],
    silent=[*others("non-tls-encryption"), "missing-sni", "tls-version-negotiated"],
    expect=["tcp.port == 443 && tcp.len == 512"],
    forbid=["tls.handshake"],
)
def opaque_on_443(lab):
    conversation(lab, "chat.test", 443, [os.urandom(512) for _ in range(8)], lambda data: os.urandom(700))


@capture(
    "unknown/short.pcap",
    shows="Three bytes there and three bytes back: too little to judge.",
    tools=["python socket"],
    silent=RULES,
    expect=["tcp.len == 3"],
)
def short(lab):
    conversation(lab, "chat.test", 7001, [b"\x01\x00\x07"], lambda data: b"\x02\x00\x07")


@capture(
    "unknown/binary-structured.pcap",
    shows="A binary protocol of small counters and zeros: neither text nor noise.",
    tools=["python socket"],
    silent=["cleartext-http", "non-tls-encryption"],
    expect=["tcp.len == 64"],
)
def binary_structured(lab):
    frames = [bytes([0, 0, 0, 60, 0, 1, 0, n]) + bytes(40) + n.to_bytes(16, "big") for n in range(10)]
    conversation(lab, "chat.test", 7002, frames, lambda data: data[:8])


@capture(
    "unknown/server-silent.pcap",
    shows="A client connects, says nothing and leaves.",
    tools=["python socket"],
    silent=RULES,
    expect=["tcp.flags.syn == 1"],
    forbid=["tcp.len > 0"],
)
def server_silent(lab):
    conversation(lab, "chat.test", 7003, [], lambda data: data)


@capture(
    "unknown/udp-text.pcap",
    shows="A home-made protocol of text over UDP.",
    tools=["python socket"],
    fires=["cleartext-unknown"],
    silent=others("cleartext-unknown"),
    expect=['udp.payload contains "position"'],
)
def udp_text(lab):
    import socket

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(12):
                text = f"position report {number}: latitude 52.5163 longitude 13.3777 speed 4.2 heading 271"
                sender.sendto(text.encode(), (v4("weather.test"), 5140))
                time.sleep(0.01)

    with lab.recording(packets="udp"):
        lab.on_phone(ask)
