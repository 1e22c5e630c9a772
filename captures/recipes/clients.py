"""Clients that are written in Python: where the recipe must decide what goes into which segment."""

import socket
import ssl
import struct
import time


def connect(address, port=443, source=0, **options):
    """A TCP connection without Nagle's delay: each `sendall` becomes a segment of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in options.items():
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.settimeout(10)
    if source:
        connection.bind(("", source))
    connection.connect((address, port))
    return connection


def context(root, **settings):
    """A checking client context; `settings` are attributes of it."""
    made = ssl.create_default_context(cafile=str(root))
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def tls_exchange(connection, tls, host, request=b"GET / HTTP/1.0\r\n\r\n", send=None):
    """A TLS session of Python's own OpenSSL whose outgoing bytes pass through `send(connection, data)`."""
    send = send or (lambda connection, data: connection.sendall(data))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.wrap_bio(incoming, outgoing, server_hostname=host)

    def step(action):
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                result = None
            data = outgoing.read()
            if data:
                send(connection, data)
            if result is not None:
                return result
            received = connection.recv(65536)
            if received:
                incoming.write(received)
            else:
                incoming.write_eof()

    step(lambda: session.do_handshake() or True)
    step(lambda: session.write(request))
    answer = b""
    while True:
        try:
            part = step(lambda: session.read(65536))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            part = b""
        if not part:
            return answer
        answer += part


def records(data):
    """Splits a byte string into TLS records."""
    at = 0
    while at + 5 <= len(data):
        (length,) = struct.unpack(">H", data[at + 3 : at + 5])
        yield data[at : at + 5 + length]
        at += 5 + length


def in_records_of(size):
    """A `send` that cuts each handshake message into records of `size` bytes, as RFC 9846 section 5.1 allows."""

    def send(connection, data):
        out = b""
        for record in records(data):
            if record[0] == 22 and record[5] == 1:
                body = record[5:]
                for at in range(0, len(body), size):
                    part = body[at : at + size]
                    out += record[:3] + struct.pack(">H", len(part)) + part
            else:
                out += record
        connection.sendall(out)

    return send


def in_segments_of(size, pause=0.002):
    """A `send` that cuts what it is given into TCP segments of `size` bytes."""

    def send(connection, data):
        for at in range(0, len(data), size):
            connection.sendall(data[at : at + size])
            time.sleep(pause)

    return send
