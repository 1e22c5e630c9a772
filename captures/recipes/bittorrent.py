"""BitTorrent with aria2: readable, encrypted by its own means, and by way of the hash table."""

import hashlib
import json
import random
import subprocess
import time

from .catalogue import capture
from .network import GATEWAY_V4, PACKETS, PHONE, v4

HOST = "cdn.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown", "non-tls-encryption"]
QUIET = ["--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--quiet=true"]


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def torrent(lab):
    """A file of one piece with its torrent, and its hash."""
    shared = lab.dir / "seed"
    shared.mkdir(exist_ok=True)
    content = random.Random(1).randbytes(2000)
    (shared / "map.bin").write_bytes(content)
    pieces = hashlib.sha1(content).digest()
    info = {b"length": len(content), b"name": b"map.bin", b"piece length": 16384, b"pieces": pieces}
    path = lab.dir / "map.torrent"
    announce = f"http://{HOST}:6969/announce".encode()
    path.write_bytes(bencode({b"announce": announce, b"info": info}))
    return path, hashlib.sha1(bencode(info)).hexdigest()


def seed(lab, path, *options):
    """An aria2 that has the file."""
    lab.serve(
        "aria2c",
        *QUIET,
        "--no-conf",
        "--listen-port=6881",
        "--seed-ratio=0",
        "--bt-seed-unverified=true",
        "--bt-tracker-interval=3600",
        f"--dir={lab.dir}/seed",
        *options,
        path,
        port=6881,
    )


def tracker(lab):
    """Names one peer to whoever asks."""
    peers = bytes(int(part) for part in v4(HOST).split(".")) + (6881).to_bytes(2, "big")
    body = bencode({b"interval": 3600, b"peers": peers})

    def answer(connection):
        connection.recv(4096)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)

    lab.serve_python(answer, HOST, 6969)


def fetch(lab, what, *options, port=6882):
    """An aria2 on the phone that wants the file; it is given some seconds."""
    lab.exec(
        PHONE,
        "timeout",
        12,
        "aria2c",
        *QUIET,
        "--no-conf",
        f"--listen-port={port}",
        "--seed-time=0",
        "--bt-stop-timeout=10",
        f"--dir={lab.dir}/fetched",
        *options,
        what,
    )


def exchange(file, shows, options, *, fires, expect, forbid=()):
    @capture(
        file,
        shows=shows,
        tools=["aria2c", "python3", "dnsmasq"],
        fires=[*fires, "cleartext-http"],
        silent=[rule for rule in RULES if rule not in fires],
        expect=expect,
        forbid=forbid,
    )
    def record(lab):
        path, _ = torrent(lab)
        seed(lab, path, "--enable-dht=false")
        tracker(lab)
        with lab.recording():
            fetch(lab, path, "--enable-dht=false", *options)
        if not (lab.dir / "fetched" / "map.bin").exists():
            raise RuntimeError("the file was not fetched")
        (lab.dir / "fetched" / "map.bin").unlink()

    record.__name__ = file.split("/")[1].split(".")[0].replace("-", "_")


@capture(
    "others/bittorrent.pcap",
    shows="transmission asks a tracker for peers and fetches a file of 2,000 bytes from aria2, readable.",
    tools=["transmission-cli", "aria2c", "python3", "dnsmasq"],
    fires=["cleartext-http", "cleartext-protocol"],
    silent=[rule for rule in RULES if rule != "cleartext-protocol"],
    expect=["bittorrent", 'tcp.payload contains "BitTorrent protocol"'],
)
def bittorrent(lab):
    path, _ = torrent(lab)
    seed(lab, path, "--enable-dht=false")
    tracker(lab)
    home, fetched = lab.dir / "transmission", lab.dir / "fetched"
    home.mkdir(exist_ok=True)
    # It has no option for these.
    quiet = ["dht-enabled", "lpd-enabled", "pex-enabled", "utp-enabled"]
    (home / "settings.json").write_text(json.dumps(dict.fromkeys(quiet, False)))
    command = ["transmission-cli", "-et", "-M", "-g", home, "-w", fetched, path]
    with lab.recording(packets=f"({PACKETS}) and not udp port 1900"):
        client = subprocess.Popen(
            ["ip", "netns", "exec", PHONE, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(150):
                if (fetched / "map.bin").exists():
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError("the file was not fetched")
            time.sleep(0.5)
        finally:
            client.terminate()
            client.wait(15)
    (fetched / "map.bin").unlink()


exchange(
    "opaque/bittorrent-encrypted.pcap",
    "aria2 insists on encryption (MSE) with the peer that it fetches a file from: noise, which nobody claims.",
    ["--bt-force-encryption=true"],
    fires=["non-tls-encryption"],
    expect=["tcp.port == 6881 && tcp.len > 96"],
    forbid=['tcp.payload contains "BitTorrent protocol"'],
)


@capture(
    "others/bittorrent-table.pcap",
    shows="aria2 looks for the peers of a hash in BitTorrent's hash table, which has one node.",
    tools=["aria2c"],
    fires=["cleartext-protocol"],
    silent=["cleartext-credentials", "cleartext-unknown", "non-tls-encryption"],
    expect=["bt-dht"],
)
def bittorrent_table(lab):
    path, digest = torrent(lab)
    table = ["--enable-dht=true", "--dht-file-path=" + str(lab.dir / "table.dat")]
    seed(lab, path, *table, "--dht-listen-port=6881")
    # The node answers from the address by which the phone reaches it.
    entry = f"--dht-entry-point={GATEWAY_V4}:6881"
    table = ["--enable-dht=true", "--dht-file-path=" + str(lab.dir / "phone.dat")]
    with lab.recording():
        fetch(lab, f"magnet:?xt=urn:btih:{digest}", *table, "--dht-listen-port=6883", entry)
