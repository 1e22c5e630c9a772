"""The servers of the scenario that speak something other than HTTP. Says `ready` once all listen.

    servers.py PKI

Runs where the names of `hosts` resolve. What aioquic is missing for is left out.
"""

import asyncio
import base64
import hashlib
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time

PKI = sys.argv[1]


def file(name):
    return os.path.join(PKI, name)


def context(identity="good", **settings):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file(f"{identity}.pem"), file(f"{identity}.key"))
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def serve(host, port, function, tls=None):
    """Runs `function(stream)` for each connection, in a thread of its own, inside TLS where there is a context."""
    listener = socket.create_server((socket.gethostbyname(host), port), backlog=64)

    def answer(stream):
        with stream:
            stream.settimeout(30)
            try:
                function(tls.wrap_socket(stream, server_side=True) if tls else stream)
            except OSError:
                pass  # A client may leave as it likes.

    def accept():
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=answer, args=(stream,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def datagrams(host, port, function):
    """Sends back what `function(data)` makes of each datagram."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((socket.gethostbyname(host), port))

    def answer():
        while True:
            data, peer = server.recvfrom(65536)
            server.sendto(function(data), peer)

    threading.Thread(target=answer, daemon=True).start()


def lines(stream):
    """The lines of a stream one by one, so that nothing is read beyond a line: TLS may come next."""
    line = b""
    while byte := stream.recv(1):
        line += byte
        if byte == b"\n":
            yield line.decode("latin-1").strip()
            line = b""


def smtp(offers, accepts):
    """SMTP (RFC 5321) up to the end of a mail. `offers` is asked for each connection."""

    def talk(stream):
        offered, upgraded = offers(), False
        stream.sendall(b"220 mail.test ESMTP\r\n")
        while True:
            for line in lines(stream):
                word = line.split(" ")[0].upper()
                if word == "EHLO":
                    last = b"250-STARTTLS\r\n" if offered and not upgraded else b""
                    stream.sendall(b"250-mail.test\r\n" + last + b"250 AUTH PLAIN LOGIN\r\n")
                elif word == "STARTTLS" and accepts:
                    stream.sendall(b"220 go ahead\r\n")
                    stream, upgraded = context().wrap_socket(stream, server_side=True), True
                    break
                elif word == "STARTTLS":
                    stream.sendall(b"454 TLS not available\r\n")
                elif word == "AUTH":
                    stream.sendall(b"235 welcome\r\n")
                elif word == "DATA":
                    stream.sendall(b"354 go on\r\n")
                    next(line for line in lines(stream) if line == ".")
                    stream.sendall(b"250 taken\r\n")
                elif word == "QUIT":
                    stream.sendall(b"221 bye\r\n")
                    return
                else:
                    stream.sendall(b"250 ok\r\n")
            else:
                return

    return talk


def imap(accepts):
    """IMAP (RFC 9051) up to the login."""

    def talk(stream):
        stream.sendall(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
        while True:
            for line in lines(stream):
                tag, word = (line.split(" ") + [""])[:2]
                word = word.upper()
                if word == "CAPABILITY":
                    stream.sendall(f"* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done\r\n".encode())
                elif word == "STARTTLS" and accepts:
                    stream.sendall(f"{tag} OK begin\r\n".encode())
                    stream = context().wrap_socket(stream, server_side=True)
                    break
                elif word == "STARTTLS":
                    stream.sendall(f"{tag} NO not now\r\n".encode())
                elif word == "LOGOUT":
                    stream.sendall(f"* BYE\r\n{tag} OK done\r\n".encode())
                    return
                else:
                    stream.sendall(f"{tag} OK done\r\n".encode())
            else:
                return

    return talk


def ftp(stream):
    """FTP (RFC 959, RFC 2428) up to the end of one file."""
    host = stream.getsockname()[0]
    data = None
    stream.sendall(b"220 ready\r\n")
    for line in lines(stream):
        word = line.split(" ")[0].upper()
        if word == "EPSV":
            data = socket.create_server((host, 0))
            stream.sendall(f"229 open (|||{data.getsockname()[1]}|)\r\n".encode())
        elif word == "RETR" and data:
            stream.sendall(b"150 here it comes\r\n")
            with data, data.accept()[0] as transfer:
                transfer.sendall(b"A list of prices that anybody on the way can read.\n" * 4)
            stream.sendall(b"226 done\r\n")
        elif word == "QUIT":
            stream.sendall(b"221 bye\r\n")
            return
        else:
            answers = {"USER": "331 password?", "PASS": "230 welcome", "PWD": '257 "/"', "SIZE": "213 204"}
            stream.sendall((answers.get(word, "200 ok") + "\r\n").encode())


def exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionError("ended early")
        data += part
    return data


def mqtt(stream):
    """MQTT 3.1.1: takes every login, every message and every subscription."""
    while head := stream.recv(1):
        length, shift = 0, 0
        while True:
            (byte,) = exactly(stream, 1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = exactly(stream, length)
        kind, quality = head[0] >> 4, (head[0] >> 1) & 3
        if kind == 1:
            stream.sendall(b"\x20\x02\x00\x00")
        elif kind == 3 and quality == 1:
            topic = int.from_bytes(body[:2], "big")
            stream.sendall(b"\x40\x02" + body[2 + topic : 4 + topic])
        elif kind == 8:
            stream.sendall(b"\x90\x03" + body[:2] + b"\x00")
        elif kind == 12:
            stream.sendall(b"\xd0\x00")
        elif kind == 14:
            return


def websocket(stream):
    """WebSocket (RFC 6455): greets, waits for the client's close, closes."""
    key = ""
    for line in lines(stream):
        name, _, value = line.partition(":")
        if name.lower() == "sec-websocket-key":
            key = value.strip()
        if not line:
            break
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    accept = base64.b64encode(digest).decode()
    head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    stream.sendall(head.encode() + b"\x81\x05hello")
    while True:
        first, second = exactly(stream, 2)
        exactly(stream, 4 + (second & 0x7F))
        if first & 0x0F == 8:
            stream.sendall(b"\x88\x02\x03\xe8")
            return


def https(stream):
    """The least of HTTP."""
    stream.recv(65536)
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def splice(one, other):
    """Carries bytes both ways until both ends are done."""
    ends = {one: other, other: one}
    open_ends = set(ends)
    while open_ends:
        for end in select.select(list(open_ends), [], [], 30)[0]:
            data = end.recv(65536)
            if data:
                ends[end].sendall(data)
            else:
                open_ends.discard(end)
                try:
                    ends[end].shutdown(socket.SHUT_WR)
                except OSError:
                    return


def proxy(stream):
    """An HTTP proxy: CONNECT (RFC 9110 section 9.3.6), and requests with a whole URL."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += exactly(stream, 1)
    method, target, _ = head.split(b" ", 2)
    if method == b"CONNECT":
        host, port = target.decode().split(":")
        with socket.create_connection((host, int(port))) as onward:
            stream.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            splice(stream, onward)
    else:
        host = target.decode().split("/")[2]
        with socket.create_connection((host, 80)) as onward:
            onward.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            while data := onward.recv(65536):
                stream.sendall(data)


def socks5(stream):
    """SOCKS 5 (RFC 1928) without a login, to names."""
    _, count = exactly(stream, 2)
    exactly(stream, count)
    stream.sendall(b"\x05\x00")
    _, _, _, kind = exactly(stream, 4)
    if kind == 3:
        host = exactly(stream, exactly(stream, 1)[0]).decode()
    else:
        host = socket.inet_ntoa(exactly(stream, 4))
    (port,) = struct.unpack(">H", exactly(stream, 2))
    with socket.create_connection((host, port)) as onward:
        stream.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        splice(stream, onward)


def dot(stream):
    """DNS over TLS (RFC 7858): asks the lab's resolver over TCP."""
    with socket.create_connection(("10.77.0.2", 53)) as onward:
        while length := stream.recv(2):
            onward.sendall(length + exactly(stream, int.from_bytes(length, "big")))
            length = exactly(onward, 2)
            stream.sendall(length + exactly(onward, int.from_bytes(length, "big")))


def ntp(request):
    """An answer of NTP (RFC 5905): version 4, mode 4, stratum 2."""
    now = struct.pack(">II", int(time.time()) + 2208988800, 0)
    return struct.pack(">BBbb", 0x24, 2, 6, -20) + bytes(8) + b"LAB " + now + request[40:48] + now + now


def echo(stream):
    while data := stream.recv(65536):
        stream.sendall(data)


def noise(stream):
    while stream.recv(65536):
        stream.sendall(os.urandom(600))


def quic():
    """HTTP/3 by aioquic, where that is at hand."""
    try:
        from aioquic.asyncio import serve as listen
        from aioquic.asyncio.protocol import QuicConnectionProtocol
        from aioquic.h3.connection import H3Connection
        from aioquic.h3.events import HeadersReceived
        from aioquic.quic.configuration import QuicConfiguration
        from aioquic.quic.events import ProtocolNegotiated
    except ImportError:
        return

    class Protocol(QuicConnectionProtocol):
        http = None

        def quic_event_received(self, event):
            if isinstance(event, ProtocolNegotiated):
                self.http = H3Connection(self._quic)
            for happened in self.http.handle_event(event) if self.http else ():
                if isinstance(happened, HeadersReceived):
                    self.http.send_headers(happened.stream_id, [(b":status", b"200")])
                    self.http.send_data(happened.stream_id, b"ok\n", end_stream=True)
            self.transmit()

    listening = threading.Event()

    async def run():
        configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
        configuration.load_cert_chain(file("good.pem"), file("good.key"))
        await listen("quic.test", 443, configuration=configuration, create_protocol=Protocol)
        listening.set()
        await asyncio.Future()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    if not listening.wait(10):
        sys.exit("aioquic does not listen")


def alternating():
    """Every second connection finds STARTTLS taken out of what the server can."""
    state = [False]

    def offers():
        state[0] = not state[0]
        return state[0]

    return offers


insisting = context(verify_mode=ssl.CERT_REQUIRED, maximum_version=ssl.TLSVersion.TLSv1_2)
insisting.load_verify_locations(file("root.pem"))
always = lambda: True
serve("smtp.test", 587, smtp(always, True))
serve("smtp-refuses.test", 587, smtp(always, False))
serve("smtp-stripped.test", 587, smtp(alternating(), True))
serve("imap.test", 143, imap(True))
serve("imap-refuses.test", 143, imap(False))
serve("ftp.test", 21, ftp)
serve("mqtt.test", 1883, mqtt)
serve("mqtts.test", 8883, mqtt, context())
serve("ws.test", 80, websocket)
serve("wss.test", 443, websocket, context())
serve("insists.test", 443, https, insisting)
serve("proxy.test", 3128, proxy)
serve("locked-proxy.test", 3128, proxy)
serve("socks.test", 1080, socks5)
serve("dot.test", 853, dot, context())
serve("text.test", 7001, echo)
serve("noise.test", 7002, noise)
serve("protobuf.test", 7003, echo)
datagrams("ntp.test", 123, ntp)
quic()
print("ready", flush=True)
sys.stdin.read()
