"""MTProto as Telethon speaks it: to a listener of the recipe's own, because Telegram's servers are not in the lab.

The listener answers the first request as the protocol says, with the fingerprint of a key that Telethon knows, and hangs
up on the second, which only Telegram could answer.
"""

import secrets
import struct
import time
import zlib

from .catalogue import capture
from .network import v4

HOST = "chat.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]

TELETHON = """
import asyncio, sys
from telethon import TelegramClient, connection
from telethon.sessions import MemorySession

address, port, transport, secret = sys.argv[1:]
session = MemorySession()
session.set_dc(2, address, int(port))
options = dict(connection=getattr(connection, transport))
if secret:
    options["proxy"] = (address, int(port), secret)

async def main():
    client = TelegramClient(
        session, 1, "0" * 32, connection_retries=0, auto_reconnect=False, timeout=3, receive_updates=False, **options
    )
    try:
        await asyncio.wait_for(client.connect(), 6)
    except Exception as error:
        print(repr(error))

asyncio.run(main())
"""


def fingerprint(lab):
    script = "from telethon.crypto import rsa; print(next(iter(rsa._server_keys)))"
    return int(lab.python(script).stdout)


def answer_to(request, key):
    """`resPQ` to the `req_pq_multi` in an envelope."""
    nonce = request[24:40]
    product = (0x494C553B * 0x53911073).to_bytes(8, "big")
    body = struct.pack("<I", 0x05162463) + nonce + secrets.token_bytes(16) + b"\x08" + product + b"\0\0\0"
    body += struct.pack("<IIq", 0x1CB5C415, 1, key)
    identifier = int(time.time()) << 32 | 1
    return struct.pack("<QQI", 0, identifier, len(body)) + body


def receive(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise OSError("the client left")
        data += part
    return data


def full(connection, key):
    (length,) = struct.unpack("<I", receive(connection, 4))
    request = receive(connection, length - 4)[4:-4]
    answer = answer_to(request, key)
    packet = struct.pack("<II", len(answer) + 12, 0) + answer
    connection.sendall(packet + struct.pack("<I", zlib.crc32(packet)))


def abridged(connection, key):
    receive(connection, 1)
    (words,) = receive(connection, 1)
    answer = answer_to(receive(connection, words * 4), key)
    connection.sendall(bytes([len(answer) // 4]) + answer)


def intermediate(connection, key):
    receive(connection, 4)
    (length,) = struct.unpack("<I", receive(connection, 4))
    answer = answer_to(receive(connection, length), key)
    connection.sendall(struct.pack("<I", len(answer)) + answer)


def obfuscated(connection, key):
    """The abridged transport in AES-CTR, with keys from the first 64 bytes."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    start = receive(connection, 64)
    reverse = start[55:7:-1]
    hears = Cipher(algorithms.AES(start[8:40]), modes.CTR(start[40:56])).encryptor()
    says = Cipher(algorithms.AES(reverse[:32]), modes.CTR(reverse[32:])).encryptor()
    hears.update(start)
    (words,) = hears.update(receive(connection, 1))
    answer = answer_to(hears.update(receive(connection, words * 4)), key)
    connection.sendall(says.update(bytes([len(answer) // 4]) + answer))


def session(name, transport, serve, shows, *, expect, port=443):
    @capture(
        f"opaque/mtproto-{name}.pcap",
        shows=shows,
        tools=["telethon", "python3"],
        how="made",
        fires=["non-tls-encryption"],
        silent=RULES,
        expect=expect,
        forbid=["tls.handshake"],
    )
    def record(lab):
        key = fingerprint(lab)

        def answer(connection):
            serve(connection, key)
            # What follows needs the key's private half.
            connection.recv(4096)

        lab.serve_python(answer, HOST, port)
        with lab.recording():
            lab.python(TELETHON, v4(HOST), port, transport, "")

    record.__name__ = f"mtproto_{name}".replace("-", "_")


PROOF = "tcp.payload contains f1:8e:7e:be"
session(
    "full",
    "ConnectionTcpFull",
    full,
    "Telethon begins to exchange keys over MTProto's full transport, with a listener that answers once.",
    expect=[PROOF],
)
session(
    "abridged",
    "ConnectionTcpAbridged",
    abridged,
    "Telethon begins to exchange keys over MTProto's abridged transport, with a listener that answers once.",
    expect=[PROOF, "tcp.payload[0] == ef"],
    port=80,
)
session(
    "intermediate",
    "ConnectionTcpIntermediate",
    intermediate,
    "Telethon begins to exchange keys over MTProto's intermediate transport, with a listener that answers once.",
    expect=[PROOF, "tcp.payload[0:4] == ee:ee:ee:ee"],
)
session(
    "obfuscated",
    "ConnectionTcpObfuscated",
    obfuscated,
    "Telethon begins to exchange keys over MTProto's obfuscated transport: noise, which nobody claims.",
    expect=["tcp.dstport == 443 && tcp.len >= 64"],
)
