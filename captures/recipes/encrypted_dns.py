"""DNS within TLS, HTTPS and QUIC, and what only looks like it. unbound answers, and asks dnsmasq what it does not know."""

import os

from .catalogue import capture
from .decryption import KEYS, keyed
from .network import GATEWAY_V4, PHONE, v4

QUIET = ["cleartext-http", "cleartext-protocol", "cleartext-unknown", "missing-sni", "non-tls-encryption"]
RESOLVER, UNLISTED = "dns.google", "resolver.test"

CONFIGURATION = """
server:
  interface: {address}@{port}
  tls-port: 853
  https-port: 443
  tls-service-key: "{key}"
  tls-service-pem: "{chain}"
  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: test. transparent
  pad-responses: yes
forward-zone:
  name: "."
  forward-addr: {upstream}
"""

FORWARDER = """
server:
  interface: 127.0.0.1@5300
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: test. transparent
  pad-queries: yes
  qname-minimisation: no
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-tls-upstream: yes
  forward-addr: {address}@853
"""

QUIC_SERVER = """
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived

address, chain, key, upstream = sys.argv[1:]


class Protocol(QuicConnectionProtocol):
    questions = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            question = self.questions.get(event.stream_id, b"") + event.data
            self.questions[event.stream_id] = question
            if event.end_stream:
                asyncio.ensure_future(self.answer(event.stream_id, question))

    async def answer(self, stream, question):
        # Over QUIC messages have a length in front, as over TCP.
        reader, writer = await asyncio.open_connection(upstream, 53)
        writer.write(question)
        length = await reader.readexactly(2)
        message = await reader.readexactly(int.from_bytes(length, "big"))
        writer.close()
        self._quic.send_stream_data(stream, length + message, end_stream=True)
        self.transmit()


async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["doq"])
    configuration.load_cert_chain(chain, key)
    await serve(address, 853, configuration=configuration, create_protocol=Protocol)
    await asyncio.Future()


asyncio.run(main())
"""


def unbound(lab, host, port):
    """unbound at the address of `host`: over TLS on port 853, over HTTPS on port 443."""
    identity = lab.pki.server(host)
    configuration = lab.dir / f"unbound-{port}.conf"
    configuration.write_text(
        CONFIGURATION.format(
            address=v4(host),
            port=port,
            key=identity.key,
            chain=identity.chain,
            directory=lab.dir,
            upstream=GATEWAY_V4,
        )
    )
    return lab.serve("unbound", "-d", "-c", configuration, port=port)


def kdig(lab, host, *options, names=("shop.test", "api.shop.test")):
    questions = [word for name in names for word in (name, "A")]
    root = f"+tls-ca={lab.pki.root}"
    return lab.phone("kdig", f"@{v4(host)}", root, f"+tls-hostname={host}", *options, *questions)


@capture(
    "dns/over-tls.pcap",
    shows="kdig asks dns.google's name in the lab twice, over TLS; the server is unbound.",
    tools=["kdig", "unbound"],
    fires=["tls-version-offered", "weak-cipher-offered"],
    silent=QUIET,
    expect=["tls.handshake.extensions_server_name == dns.google && tcp.dstport == 853"],
)
def over_tls(lab):
    unbound(lab, RESOLVER, 853)
    with lab.recording():
        kdig(lab, RESOLVER, "+tls", "+keepopen")


@capture(
    "dns/over-tls-by-shape.pcap",
    shows="unbound forwards padded questions over TLS to a resolver that nobody knows, without a server name and ALPN.",
    tools=["dig", "unbound"],
    silent=[rule for rule in QUIET if rule != "missing-sni"],
    expect=["tls.handshake.type == 1 && tcp.dstport == 853"],
    forbid=["tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str"],
)
def over_tls_by_shape(lab):
    unbound(lab, UNLISTED, 853)
    configuration = lab.dir / "forwarder.conf"
    configuration.write_text(FORWARDER.format(directory=lab.dir, address=v4(UNLISTED)))
    lab.serve("unbound", "-d", "-c", configuration, port=5300, namespace=PHONE)
    with lab.recording():
        for name in ("shop.test", "api.shop.test"):
            lab.phone("dig", "@127.0.0.1", "-p", "5300", "+nocookie", name)


@capture(
    "dns/over-https.pcap",
    shows="curl looks shop.test up over HTTPS, at dns.google's name in the lab, and fetches https://shop.test/.",
    tools=["curl", "unbound", "nginx"],
    silent=QUIET,
    expect=[
        "tls.handshake.extensions_server_name == dns.google",
        "tls.handshake.extensions_server_name == shop.test",
    ],
)
def over_https(lab):
    unbound(lab, RESOLVER, 443)
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        resolve = f"{RESOLVER}:443:{v4(RESOLVER)}"
        lab.curl(
            "--doh-url", f"https://{RESOLVER}/dns-query", "--resolve", resolve, "-4", "https://shop.test/"
        )


@keyed(
    "dns-over-https",
    "curl looks shop.test up over HTTPS at a resolver that nobody knows, and logs its keys.",
    ["curl", "unbound", "nginx", "editcap"],
    expect=["http2 && dns.a == 198.51.100.10"],
)
def over_https_decrypted(lab):
    unbound(lab, UNLISTED, 443)
    lab.nginx(lab.https("shop.test"))
    resolve = f"{UNLISTED}:443:{v4(UNLISTED)}"
    keys = {**os.environ, "SSLKEYLOGFILE": str(lab.dir / KEYS)}
    url = f"https://{UNLISTED}/dns-query"
    lab.curl("--doh-url", url, "--resolve", resolve, "-4", "https://shop.test/", env=keys)


@capture(
    "dns/over-quic.pcap",
    shows="kdig asks over QUIC; the server is aioquic's, and asks dnsmasq.",
    tools=["kdig", "aioquic", "dnsmasq"],
    silent=QUIET,
    expect=["udp.dstport == 853", "udp.srcport == 853"],
)
def over_quic(lab):
    identity = lab.pki.server(UNLISTED)
    script = lab.dir / "doq.py"
    script.write_text(QUIC_SERVER)
    python = lab.venv / "bin" / "python3"
    lab.serve(python, script, v4(UNLISTED), identity.chain, identity.key, GATEWAY_V4, udp=853)
    with lab.recording():
        kdig(lab, UNLISTED, "+quic", names=["shop.test"])


@capture(
    "dns/not-over-tls.pcap",
    shows="What is no DNS: HTTPS on port 853, with and without ALPN.",
    tools=["curl", "openssl s_client", "nginx"],
    silent=QUIET,
    expect=["tls.handshake.type == 1 && tcp.dstport == 853 && tls.handshake.extensions_alpn_str == h2"],
)
def not_over_tls(lab):
    lab.nginx(lab.https("shop.test", port=853), lab.https("news.test"))
    with lab.recording():
        lab.curl("https://shop.test:853/")
        lab.s_client("shop.test", port=853)
