"""QUIC as different stacks speak it. The server is aioquic's, which can be told to do what others do rarely."""

from contextlib import contextmanager

from .catalogue import capture
from .network import PHONE, PHONE_V4, run, v4, v6
from .tls import SOUND

SERVER = """
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated

addresses, chain, key, log, *words = sys.argv[1:]


class Protocol(QuicConnectionProtocol):
    http = None

    def connection_made(self, transport):
        super().connection_made(transport)
        if "ask" in words:
            started = self._quic._initialize

            def initialize(destination):
                started(destination)
                self._quic.tls._request_client_certificate = True

            self._quic._initialize = initialize

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                stream = happened.stream_id
                self.http.send_headers(stream, [(b":status", b"200"), (b"server", b"aioquic")])
                self.http.send_data(stream, b"ok\\n", end_stream=True)


async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(chain, key)
    if log:
        configuration.secrets_log_file = open(log, "a")
    if "short-ids" in words:
        configuration.connection_id_length = 4
    if "v2" in words:
        configuration.supported_versions = [0x6B3343CF, 1]
    tickets = {}
    for address in addresses.split():
        await serve(
            address,
            443,
            configuration=configuration,
            create_protocol=Protocol,
            retry="retry" in words,
            session_ticket_handler=lambda ticket: tickets.__setitem__(ticket.ticket, ticket),
            session_ticket_fetcher=tickets.get,
        )
    await asyncio.Future()


asyncio.run(main())
"""

CLIENT = """
import asyncio, ssl, sys
from aioquic.asyncio import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import CipherSuite

address, host, root, chain, key, *words = sys.argv[1:]


class Protocol(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.answered = None

    def quic_event_received(self, event):
        for happened in self.http.handle_event(event):
            if isinstance(happened, DataReceived) and happened.stream_ended and not self.answered.done():
                self.answered.set_result(happened.data)

    async def get(self):
        self.answered = asyncio.get_running_loop().create_future()
        stream = self._quic.get_next_available_stream_id()
        request = {":method": "GET", ":scheme": "https", ":authority": host, ":path": "/"}
        headers = [(name.encode(), value.encode()) for name, value in request.items()]
        self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(self.answered, 5)

    async def move(self, address):
        # From a new port of an address.
        loop, old = asyncio.get_running_loop(), self._transport
        await loop.create_datagram_endpoint(lambda: self, local_addr=(address, 0))
        old.close()


async def fetch(ticket=None, **options):
    configuration = QuicConfiguration(alpn_protocols=["h3"], server_name=host, session_ticket=ticket, **options)
    configuration.load_verify_locations(root)
    if chain:
        configuration.load_cert_chain(chain, key)
    tickets = []
    async with connect(
        address,
        443,
        configuration=configuration,
        create_protocol=Protocol,
        session_ticket_handler=tickets.append,
        wait_connected=ticket is None,
    ) as client:
        await client.get()
        if "update" in words:
            for _ in range(2):
                client.request_key_update()
                await client.get()
        if "new-id" in words:
            client.change_connection_id()
        for word in words:
            if word.startswith("from="):
                await client.move(word.removeprefix("from="))
                await client.get()
        await asyncio.sleep(0.1)
    return tickets


async def main():
    options = {}
    if "v2" in words:
        first = 1 if "from-v1" in words else 0x6B3343CF
        options |= {"supported_versions": [0x6B3343CF, 1], "original_version": first}
    if "trusting" in words:
        options["verify_mode"] = ssl.CERT_NONE
    if "short-ids" in words:
        options["connection_id_length"] = 4
    options["cipher_suites"] = [suite for suite in CipherSuite if suite.name in words] or None
    if "grease" in words:
        options |= {"supported_versions": [0x1A2A3A4A, 1], "original_version": 0x1A2A3A4A}
    tickets = await fetch(**options)
    if "again" in words:
        await fetch(tickets[0], **options)


asyncio.run(main())
"""

HANDSHAKE = "quic && tls.handshake.type == 1"
ANSWER = "quic && tls.handshake.type == 2"


def serve(lab, host, *words, identity=None, log=""):
    """aioquic's server, once it listens; `log` is where it writes the secrets."""
    identity = identity or lab.pki.server(host)
    script = [lab.venv / "bin/python", "-c", SERVER]
    addresses = f"{v4(host)} {v6(host)}"
    return lab.serve(*script, addresses, identity.chain, identity.key, log, *words, udp=443)


def ask(lab, host, *words, identity=None, **options):
    """aioquic's client."""
    files = (identity.chain, identity.key) if identity else ("", "")
    lab.python(CLIENT, v4(host), host, lab.pki.root, *files, *words, **options)


def fetch(lab, host, *words, **options):
    """aioquic's client, recorded."""
    with lab.recording():
        ask(lab, host, *words, **options)


@capture(
    "quic/http3.pcap",
    shows="aioquic fetches https://shop.test/ by HTTP/3 over QUIC version 1.",
    tools=["aioquic"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER, "quic.version == 1"],
)
def http3(lab):
    serve(lab, "shop.test")
    fetch(lab, "shop.test")


@capture(
    "quic/version-2.pcap",
    shows="aioquic speaks QUIC version 2 from the first packet.",
    tools=["aioquic"],
    silent=SOUND,
    expect=["quic.version == 0x6b3343cf", HANDSHAKE],
    forbid=["quic.version == 1"],
)
def version_2(lab):
    serve(lab, "shop.test", "v2")
    fetch(lab, "shop.test", "v2")


@capture(
    "quic/upgraded.pcap",
    shows="The client begins in QUIC version 1, and the server answers in version 2 (compatible version negotiation).",
    tools=["aioquic"],
    silent=SOUND,
    expect=["quic.version == 1", "quic.version == 0x6b3343cf"],
)
def upgraded(lab):
    serve(lab, "shop.test", "v2")
    fetch(lab, "shop.test", "v2", "from-v1")


@capture(
    "quic/version-negotiation.pcap",
    shows="The client begins in a reserved version, learns the server's, and begins again in version 1.",
    tools=["aioquic"],
    silent=SOUND,
    expect=["quic.version == 0x1a2a3a4a", "quic.version == 0", ANSWER],
)
def version_negotiation(lab):
    serve(lab, "shop.test")
    fetch(lab, "shop.test", "grease")


@capture(
    "quic/retry.pcap",
    shows="The server has the client prove its address with a Retry.",
    tools=["aioquic"],
    silent=SOUND,
    expect=["quic.long.packet_type == 3", "quic.token_length > 0", ANSWER],
)
def retry(lab):
    serve(lab, "shop.test", "retry")
    fetch(lab, "shop.test")


@capture(
    "quic/zero-rtt.pcap",
    shows="A second connection resumes the first and sends its request in 0-RTT packets.",
    tools=["aioquic"],
    silent=SOUND,
    expect=["quic.long.packet_type == 1", "tls.handshake.extension.type == 42"],
)
def zero_rtt(lab):
    serve(lab, "shop.test")
    fetch(lab, "shop.test", "again")


@capture(
    "quic/refused.pcap",
    shows="The client does not trust the server's certificate and closes.",
    tools=["aioquic"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER],
)
def refused(lab):
    serve(lab, "untrusted.test", identity=lab.pki.leaf("untrusted", ["untrusted.test"], issuer="stranger"))
    fetch(lab, "untrusted.test", fails=True)


@capture(
    "quic/client-certificate.pcap",
    shows="The server asks for a client certificate, and aioquic's client sends one.",
    tools=["aioquic"],
    silent=["client-certificate-missing", "client-certificate-declined"],
    expect=[HANDSHAKE, ANSWER],
)
def client_certificate(lab):
    serve(lab, "mtls.test", "ask")
    fetch(lab, "mtls.test", identity=lab.pki.client())


@capture(
    "quic/client-certificate-not-sent.pcap",
    shows="A server that ought to ask for a client certificate does not; aioquic's client has none.",
    tools=["aioquic"],
    fires=["client-certificate-missing"],
    expect=[HANDSHAKE, ANSWER],
)
def client_certificate_not_sent(lab):
    serve(lab, "mtls.test")
    fetch(lab, "mtls.test")


def impersonate(lab, host, profile="chrome146", **options):
    """curl-impersonate's ngtcp2 and BoringSSL."""
    script = (
        "import sys; from curl_cffi import CurlHttpVersion, requests; root, host, chain, key, profile = sys.argv[1:]; "
        "requests.get(f'https://{host}/', impersonate=profile, verify=root, timeout=10, "
        "http_version=CurlHttpVersion.V3ONLY, cert=(chain, key) if chain else None)"
    )
    identity = options.pop("identity", None)
    files = (identity.chain, identity.key) if identity else ("", "")
    with lab.recording():
        lab.python(script, lab.pki.root, host, *files, profile, **options)


@capture(
    "quic/ngtcp2.pcap",
    shows="curl with ngtcp2 and BoringSSL fetches https://shop.test/ by HTTP/3: a post-quantum key share over two Initials.",
    tools=["curl_cffi", "aioquic", "dnsmasq"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER, "tls.handshake.extensions_key_share_group == 4588"],
)
def ngtcp2(lab):
    serve(lab, "shop.test")
    impersonate(lab, "shop.test")


@capture(
    "quic/ngtcp2-refused.pcap",
    shows="curl with ngtcp2 and BoringSSL does not trust the server's certificate.",
    tools=["curl_cffi", "aioquic", "dnsmasq"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER],
)
def ngtcp2_refused(lab):
    serve(lab, "untrusted.test", identity=lab.pki.leaf("untrusted", ["untrusted.test"], issuer="stranger"))
    impersonate(lab, "untrusted.test", fails=True)


@capture(
    "quic/ngtcp2-client-certificate.pcap",
    shows="The server asks for a client certificate, and curl with ngtcp2 and BoringSSL sends one.",
    tools=["curl_cffi", "aioquic", "dnsmasq"],
    silent=["client-certificate-missing", "client-certificate-declined"],
    expect=[HANDSHAKE, ANSWER],
)
def ngtcp2_client_certificate(lab):
    serve(lab, "mtls.test", "ask")
    impersonate(lab, "mtls.test", identity=lab.pki.client())


@capture(
    "quic/chromium.pcap",
    shows="Chromium fetches https://shop.test/ by HTTP/3: its ClientHello comes in shuffled pieces over two datagrams.",
    tools=["chromium", "aioquic", "dnsmasq"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER],
)
def chromium(lab):
    serve(lab, "shop.test")
    with lab.recording():
        quiet = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE shop.test"
        lab.chromium("https://shop.test/", "--origin-to-force-quic-on=shop.test:443", quiet)


# An address that the phone has beside its own, as aioquic's socket for both families writes it.
SECOND_V4 = "10.215.173.2"
HERE, ELSEWHERE = f"::ffff:{PHONE_V4}", f"::ffff:{SECOND_V4}"


@contextmanager
def second_address():
    """Gives the phone another address."""
    change = ["addr", "add", f"{SECOND_V4}/24", "dev", "wlan0"]
    run("ip", "-n", PHONE, *change)
    try:
        yield
    finally:
        change[1] = "del"
        run("ip", "-n", PHONE, *change)


@capture(
    "quic/rebound.pcap",
    shows="A connection goes on from another port, as behind a NAT that forgot it, and then from another address.",
    tools=["aioquic"],
    silent=["non-tls-encryption", "cleartext-unknown"],
    expect=[HANDSHAKE, ANSWER, f"ip.src == {SECOND_V4} && udp.dstport == 443"],
)
def rebound(lab):
    serve(lab, "shop.test")
    with second_address():
        fetch(lab, "shop.test", f"from={HERE}", f"from={ELSEWHERE}")


@capture(
    "quic/rebound-new-id.pcap",
    shows="A connection goes on from another address under a connection id that was issued under encryption.",
    tools=["aioquic"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER, f"ip.src == {SECOND_V4} && udp.dstport == 443"],
)
def rebound_new_id(lab):
    serve(lab, "shop.test")
    with second_address():
        fetch(lab, "shop.test", "new-id", f"from={ELSEWHERE}")


@capture(
    "quic/rebound-short-id.pcap",
    shows="A connection with connection ids of four bytes goes on from another port: too little to know it by.",
    tools=["aioquic"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER],
)
def rebound_short_id(lab):
    serve(lab, "shop.test", "short-ids")
    fetch(lab, "shop.test", "short-ids", f"from={HERE}")


STRANGER = """
import os, socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(8):
    sender.sendto(bytes([0x40 | number]) + os.urandom(60), (sys.argv[1], 443))
"""


@capture(
    "quic/not-rebound.pcap",
    shows="After a connection somebody sends the same server datagrams that begin as short headers do, with other ids.",
    tools=["aioquic"],
    silent=SOUND,
    expect=[HANDSHAKE, ANSWER],
)
def not_rebound(lab):
    serve(lab, "shop.test")
    with lab.recording():
        ask(lab, "shop.test")
        lab.python(STRANGER, v4("shop.test"))
