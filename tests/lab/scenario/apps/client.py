"""What the scenario's apps do in Python: `client.py DOES [WORD]...`, one function each. A failure is an exit code."""

import imaplib
import os
import smtplib
import socket
import ssl
import struct
import sys
import time
import urllib.request

CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
SECRET = "correct horse battery staple"


def context():
    """A client that checks, under the roots that SSL_CERT_FILE names."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    return made


def fetch(url):
    with urllib.request.urlopen(url, context=context(), timeout=20) as answer:
        answer.read()


def smtp(host, how):
    """`tls`: upgrades first. `plain`: logs in without. `either`: upgrades where that is offered and granted."""
    with smtplib.SMTP(host, 587, timeout=20) as server:
        server.ehlo("phone.test")
        if how == "tls" or (how == "either" and server.has_extn("starttls")):
            code, _ = server.docmd("STARTTLS")
            if code == 220:
                # Python's own `starttls` gives up where it is refused; this app does not.
                server.sock = context().wrap_socket(server.sock, server_hostname=host)
                server.file = None
                server.ehlo("phone.test")
            elif how == "tls":
                sys.exit("TLS is refused")
        server.user, server.password = "alice", SECRET
        server.auth("PLAIN", server.auth_plain)
        server.sendmail("alice@shop.test", ["bob@shop.test"], "Subject: hello\r\n\r\nGood day.\r\n")


def imap(host):
    """Upgrades before the login, and leaves where it is refused."""
    server = imaplib.IMAP4(host, 143, timeout=20)
    server.starttls(context())
    server.login("alice", SECRET)
    server.logout()


def mqtt_tls(host):
    import paho.mqtt.client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="phone")
    client.username_pw_set("alice", SECRET)
    client.tls_set_context(context())
    client.connect(host, 8883, keepalive=20)
    client.loop_start()
    client.publish("phone/screen", "checkout", qos=1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


def websocket(url):
    from websockets.sync.client import connect

    with connect(url, ssl=context() if url.startswith("wss:") else None, open_timeout=20) as session:
        if session.recv(20) != "hello":
            sys.exit("an answer of somebody else")
        session.send("a message")


def http3(host):
    import asyncio

    from aioquic.asyncio import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived
    from aioquic.quic.configuration import QuicConfiguration

    class Protocol(QuicConnectionProtocol):
        http, answered = None, None

        def quic_event_received(self, event):
            for happened in self.http.handle_event(event) if self.http else ():
                if isinstance(happened, DataReceived) and happened.stream_ended and not self.answered.done():
                    self.answered.set_result(happened.data)

        async def get(self):
            self.http = H3Connection(self._quic)
            self.answered = asyncio.get_running_loop().create_future()
            head = {":method": "GET", ":scheme": "https", ":authority": host, ":path": "/"}
            fields = [(name.encode(), value.encode()) for name, value in head.items()]
            self.http.send_headers(self._quic.get_next_available_stream_id(), fields, end_stream=True)
            self.transmit()
            return await asyncio.wait_for(self.answered, 20)

    async def run():
        configuration = QuicConfiguration(alpn_protocols=["h3"], server_name=host)
        configuration.load_verify_locations(os.environ["SSL_CERT_FILE"])
        async with connect(host, 443, configuration=configuration, create_protocol=Protocol) as client:
            await client.get()

    asyncio.run(run())


def dns_over_tls(host, name):
    """Looks a name up by a resolver of its own (RFC 7858)."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\x00\x00\x01\x00\x01"
    query = os.urandom(2) + b"\x01\x00\x00\x01" + bytes(6) + question
    with socket.create_connection((host, 853), timeout=20) as stream:
        with context().wrap_socket(stream, server_hostname=host) as tls:
            tls.sendall(len(query).to_bytes(2, "big") + query)
            if socket.inet_aton("10.77.1.124") not in tls.recv(65536):
                sys.exit("another answer")


def exchange(host, port, messages):
    """Sends each message and waits for an answer."""
    with socket.create_connection((host, port), timeout=20) as stream:
        for message in messages:
            stream.sendall(message)
            if not stream.recv(65536):
                sys.exit("no answer")


def text(host):
    exchange(host, 7001, [b"EVENT screen=checkout device=phone-7 mail=alice@shop.test\n"] * 3)


def noise(host):
    exchange(host, 7002, [os.urandom(400) for _ in range(3)])


def field(number, value):
    """A field of protobuf: a string, or a number as a varint."""
    if isinstance(value, str):
        return bytes([number << 3 | 2, len(value)]) + value.encode()
    varint = b""
    while value > 0x7F:
        varint += bytes([value & 0x7F | 0x80])
        value >>= 7
    return bytes([number << 3]) + varint + bytes([value])


def protobuf(host):
    """Events of an app in protobuf, each behind its length."""
    messages = []
    for number in range(6):
        values = [f"phone-{number}", "screen_view", "checkout", "alice@shop.test", 1_795_000_000 + number, number, 1]
        event = b"".join(field(index, value) for index, value in enumerate(values, 1))
        messages.append(len(event).to_bytes(4, "big") + event)
    exchange(host, 7003, messages)


def ntp(host):
    """Asks for the time (RFC 4330)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        now = int(time.time()) + 2208988800
        sock.sendto(b"\x23" + bytes(39) + struct.pack(">II", now, 0), (socket.gethostbyname(host), 123))
        sock.recv(100)


def scan(host):
    """Tries 32 ports, none of which is open."""
    address = socket.gethostbyname(host)
    for port in range(2000, 2032):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(20)
            if sock.connect_ex((address, port)) == 0:
                sys.exit(f"port {port} is open")


def loopback():
    """Talks to itself in the clear."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=20) as near, server.accept()[0] as far:
            near.sendall(b"GET /private?token=0123456789 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            far.recv(65536)
            far.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok")
            near.recv(65536)


def listen(address, port):
    """Answers one neighbour."""
    with socket.create_server((address, int(port))) as server:
        print("listening", flush=True)
        server.settimeout(60)
        with server.accept()[0] as stream:
            stream.settimeout(20)
            stream.recv(65536)
            stream.sendall(b"STATUS battery=80 screen=on owner=alice@shop.test\n")
            stream.recv(1)


def only_listen(address, port):
    """Waits for neighbours, of whom none comes, until it is told to leave."""
    with socket.create_server((address, int(port))):
        print("listening", flush=True)
        sys.stdin.read()


def visit(address, port):
    """A neighbour's question."""
    with socket.create_connection((address, int(port)), timeout=20) as stream:
        stream.sendall(b"STATUS please, whoever you are\n")
        stream.recv(65536)


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
