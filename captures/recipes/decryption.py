"""TLS and QUIC with the session's keys in the file: every suite that can be decrypted, and every turn that a session takes.

The server, or GnuTLS in its place, logs its keys. editcap puts them before the packets as a Decryption Secrets Block, or the
recipe behind them, as recorders do that write keys when they come.
"""

import base64
import struct
import subprocess

from . import capfile, client_flight, quic
from .capfile import Pcapng
from .catalogue import capture
from .http2 import CALLER, SERVICE
from .network import v4

KEYS = "decryption-keys.log"
HOST, HIDDEN, SELF_SIGNED = "shop.test", "two.test", "self-signed.test"


def keyed(file, shows, tools, *, late=False, headers=True, fires=(), silent=(), **declared):
    """A recording with keys, made by a function that is given a lab whose servers log them to `KEYS`.

    `headers` is whether what the server answers can be read: it has none of those that pages should have.
    """
    missing = ["missing-csp", "missing-hsts", "missing-nosniff"] if headers else []

    def declare(act):
        @capture(
            f"decryption/{file}.pcapng",
            shows=shows,
            tools=tools,
            how="converted",
            fires=[*missing, *fires],
            silent=["cleartext-http", "non-tls-encryption", *silent],
            **declared,
        )
        def record(lab):
            keys = lab.dir / KEYS
            keys.unlink(missing_ok=True)
            with lab.recording(file=lab.temporary("wire.pcap")) as wire:
                act(lab)
            if not late:
                inject = ["editcap", "-F", "pcapng", "--inject-secrets", f"tls,{keys}", wire, lab.out]
                subprocess.run([str(part) for part in inject], check=True, capture_output=True)
                return
            text = keys.read_bytes()
            out = Pcapng().section().interface(1)
            for frame in capfile.read(wire):
                out.packet(frame)
            lab.out.write_bytes(out.block(0x0A, struct.pack("<II", 0x544C534B, len(text)) + text).data)

        record.__name__ = f"decryption_{file.replace('-', '_')}"
        return record

    return declare


def serve(lab, *options, identity=None, host=HOST, **settings):
    return lab.s_server(host, "-keylogfile", lab.dir / KEYS, *options, identity=identity, **settings)


SUITES_12 = [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-CCM",
    "DHE-RSA-AES256-CCM8",
    "AES256-GCM-SHA384",
]
SUITES_13 = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]


@keyed(
    "tls12-suites",
    "openssl s_client asks once under each AEAD suite of TLS 1.2: GCM, ChaCha20-Poly1305, CCM.",
    ["openssl s_client", "openssl s_server"],
    fires=["weak-cipher-negotiated", "weak-cipher-offered"],
    expect=["tls.handshake.type == 20"],
)
def tls12_suites(lab):
    serve(lab, "-tls1_2", "-cipher", "ALL:@SECLEVEL=0")
    for suite in SUITES_12:
        lab.s_client(HOST, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0", wait=0.15)


@keyed(
    "tls13-suites",
    "openssl s_client asks once under each suite of TLS 1.3.",
    ["openssl s_client", "openssl s_server"],
    fires=["weak-cipher-negotiated"],
    expect=["tls.handshake.type == 8", "tls.handshake.type == 20"],
)
def tls13_suites(lab):
    serve(lab, "-ciphersuites", ":".join(SUITES_13))
    for suite in SUITES_13:
        lab.s_client(HOST, "-tls1_3", "-ciphersuites", suite, wait=0.15)


@keyed(
    "tls13-turns",
    "A HelloRetryRequest, KeyUpdates of the client, a session that is resumed; the keys come after the packets.",
    ["openssl s_client", "openssl s_server"],
    late=True,
)
def tls13_turns(lab):
    state = lab.dir / "decryption-session.pem"
    state.unlink(missing_ok=True)
    serve(lab, "-groups", "P-384")
    lab.s_client(HOST, "-tls1_3", "-groups", "X25519:P-384", "-sess_out", state, wait=0.15)
    lab.s_client(HOST, "-tls1_3", "-sess_in", state, wait=0.15)
    # `K` is s_client's command for a KeyUpdate that asks for one in return, `k` for one that does not.
    lab.s_client(
        HOST, "-tls1_3", request="k\nK\nGET / HTTP/1.0\n\n", renegotiate=True, wait=0.15
    )


@keyed(
    "tls13-mutual",
    "The server asks for a client certificate under TLS 1.3: sent, declined, and not asked for.",
    ["openssl s_client", "openssl s_server"],
    fires=["client-certificate-declined"],
)
def tls13_mutual(lab):
    leaf = lab.pki.client()
    asking = serve(lab, "-verify", "5", "-CAfile", lab.pki.root)
    lab.s_client(HOST, "-tls1_3", "-cert", leaf.certificate, "-key", leaf.key, wait=0.15)
    lab.s_client(HOST, "-tls1_3", wait=0.15)
    asking.terminate()
    asking.wait(5)
    lab._processes.remove(asking)
    serve(lab)
    lab.s_client(HOST, "-tls1_3", wait=0.15)


@keyed(
    "tls13-self-signed",
    "curl -k goes on with a self-signed server under TLS 1.3, and curl that verifies turns it away with an alert.",
    ["curl", "openssl s_server", "dnsmasq"],
    fires=["accepted-self-signed"],
)
def tls13_self_signed(lab):
    own = lab.pki.server(SELF_SIGNED, self_signed=True)
    serve(lab, identity=own, host=SELF_SIGNED)
    lab.curl("-k", f"https://{SELF_SIGNED}/")
    lab.curl(f"https://{SELF_SIGNED}/", fails=True)


@keyed(
    "tls13-compressed",
    "gnutls-serv and gnutls-cli compress their certificates (RFC 8879) with zlib, brotli and zstd.",
    ["gnutls-cli", "gnutls-serv"],
)
def tls13_compressed(lab):
    leaf, server = lab.pki.client(), lab.pki.server(HOST)
    command = ["env", f"SSLKEYLOGFILE={lab.dir / KEYS}", "gnutls-serv", "--quiet", "--http", "--port", "443"]
    command += ["--x509certfile", server.chain, "--x509keyfile", server.key, "--x509cafile", lab.pki.root]
    methods = ["zlib", "brotli", "zstd"]
    lab.serve(*command, *(f"--compress-cert={method}" for method in methods), port=443)
    for method in methods:
        options = ["--x509certfile", leaf.chain, "--x509keyfile", leaf.key, f"--compress-cert={method}"]
        lab.gnutls_cli(HOST, "NORMAL:-VERS-ALL:+VERS-TLS1.3", *options)


# curl with BoringSSL, which logs its keys itself. Without a key in the arguments Encrypted Client Hello is for show.
IMPERSONATED = """
import sys
from curl_cffi import requests, CurlOpt
host, address, root, *key = sys.argv[1:]
options = {CurlOpt.RESOLVE: [f"{host}:443:{address}"]}
if key:
    options[CurlOpt.ECH] = f"ecl:{key[0]}"
requests.get(f"https://{host}/", impersonate="chrome131_android", verify=root, timeout=10, curl_options=options)
"""


def impersonated(lab, *key):
    keys = f"SSLKEYLOGFILE={lab.dir / KEYS}"
    python = lab.venv / "bin/python"
    lab.phone("env", keys, python, "-c", IMPERSONATED, HIDDEN, v4(HOST), lab.pki.root, *key)


SHOWN = "tls.handshake.type == 1 && tls.handshake.extension.type == 65037 && tls.handshake.extensions_server_name =="
HELLO_RETRY_REQUEST = "cf:21:ad:74:e5:9a:61:11:be:1d:8c:02:1e:65:b8:91:c2:a2:11:16:7a:bb:8c:5e:07:9e:09:e2:c8:a8:33:9c"


@keyed(
    "tls13-ech",
    "curl reaches two.test behind shop.test's name by Encrypted Client Hello, also after a HelloRetryRequest, and once it is for show.",
    ["curl_cffi chrome131_android", "selfserv"],
    headers=False,
    fires=["missing-hsts", "missing-nosniff", "weak-cipher-offered"],
    silent=["accepted-name-mismatch", "accepted-untrusted-chain", "missing-sni"],
    expect=[
        f"{SHOWN} {HOST}",
        f"{SHOWN} {HIDDEN}",
        f"tls.handshake.type == 2 && tls.handshake.random == {HELLO_RETRY_REQUEST}",
    ],
    forbid=["dns"],
)
def tls13_ech(lab):
    """No look-up tells what the hellos are, and the key log names the inner ones, which are not on the wire."""
    private, configs = lab.pki.hello_key(HOST)
    key = base64.b64encode(configs).decode()
    database = client_flight.nss_database(lab, "hello", lab.pki.leaf("server-two", [HIDDEN]))
    words = ["selfserv", "-d", f"sql:{database}", "-n", "own", "-p", 443, "-V", "tls1.3:tls1.3"]
    words += ["-X", base64.b64encode(private).decode()]
    server = lab.serve(*words, port=443)
    impersonated(lab, key)
    impersonated(lab)
    server.terminate()
    server.wait(5)
    lab._processes.remove(server)
    lab.serve(*words, "-I", "P256", port=443)
    impersonated(lab, key)


QUIC_SUITES = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"]


@keyed(
    "quic-suites",
    "aioquic asks once under each suite of QUIC.",
    ["aioquic"],
    headers=False,
    expect=[f"tls.handshake.type == 2 && tls.handshake.ciphersuite == 0x130{number}" for number in (1, 2, 3)],
)
def quic_suites(lab):
    quic.serve(lab, HOST, log=lab.dir / KEYS)
    for suite in QUIC_SUITES:
        quic.ask(lab, HOST, suite)


@keyed(
    "quic-key-updates",
    "QUIC version 2; the client changes its keys twice, and the server follows.",
    ["aioquic"],
    headers=False,
    expect=["quic.version == 0x6b3343cf", "quic.key_phase == 1", "quic.frame_type == 0x18"],
)
def quic_key_updates(lab):
    quic.serve(lab, HOST, "v2", log=lab.dir / KEYS)
    quic.ask(lab, HOST, "v2", "update")


@keyed(
    "quic-retry",
    "The server has the client prove its address with a Retry, and the client says hello anew. The keys come after the packets.",
    ["aioquic"],
    late=True,
    headers=False,
    expect=["quic.long.packet_type == 3", "quic.long.packet_type == 2"],
)
def quic_retry(lab):
    quic.serve(lab, HOST, "retry", log=lab.dir / KEYS)
    quic.ask(lab, HOST)


@keyed(
    "quic-zero-rtt",
    "A second connection resumes the first and sends its request in 0-RTT packets.",
    ["aioquic"],
    headers=False,
    expect=["quic.long.packet_type == 1 && quic.frame_type == 11"],
)
def quic_zero_rtt(lab):
    quic.serve(lab, HOST, log=lab.dir / KEYS)
    quic.ask(lab, HOST, "again")


@keyed(
    "quic-mutual",
    "The server asks for a client certificate: sent, declined, and not asked for.",
    ["aioquic"],
    headers=False,
    fires=["client-certificate-declined"],
    expect=["quic && tls.handshake.type == 13", "quic && tls.handshake.type == 15"],
)
def quic_mutual(lab):
    asking = quic.serve(lab, HOST, "ask", log=lab.dir / KEYS)
    quic.ask(lab, HOST, identity=lab.pki.client())
    quic.ask(lab, HOST)
    asking.terminate()
    asking.wait(5)
    lab._processes.remove(asking)
    quic.serve(lab, HOST, log=lab.dir / KEYS)
    quic.ask(lab, HOST)


@keyed(
    "quic-self-signed",
    "A client that verifies nothing goes on with a self-signed server, and one that verifies turns it away.",
    ["aioquic"],
    headers=False,
    fires=["accepted-self-signed"],
    expect=["quic.cc.error_code.tls_alert"],
)
def quic_self_signed(lab):
    own = lab.pki.server(SELF_SIGNED, self_signed=True)
    quic.serve(lab, SELF_SIGNED, identity=own, log=lab.dir / KEYS)
    quic.ask(lab, SELF_SIGNED, "trusting")
    quic.ask(lab, SELF_SIGNED, fails=True)


@keyed(
    "quic-migration",
    "A connection goes on from another address under a connection id that was issued under encryption.",
    ["aioquic"],
    headers=False,
    expect=["quic.frame_type == 0x18", f"ip.src == {quic.SECOND_V4} && udp.dstport == 443"],
)
def quic_migration(lab):
    quic.serve(lab, HOST, log=lab.dir / KEYS)
    with quic.second_address():
        quic.ask(lab, HOST, "new-id", f"from={quic.ELSEWHERE}")


# What ends TLS before gRPC's server, whose own library logs no keys.
TERMINATOR = """
import asyncio, ssl, sys
address, chain, key, log = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
context.set_alpn_protocols(["h2"])
context.keylog_filename = log

async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def answer(reader, writer):
    inner = await asyncio.open_connection("127.0.0.1", 50052)
    await asyncio.gather(pipe(reader, inner[1]), pipe(inner[0], writer), return_exceptions=True)

async def main():
    async with await asyncio.start_server(answer, address, 443, ssl=context) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@keyed(
    "grpc",
    "Two calls of gRPC over TLS 1.3, with a token; one is of a method that there is not.",
    ["grpcio", "python ssl", "dnsmasq"],
    headers=False,
    fires=["missing-hsts"],
    expect=['http2.headers.path == "/lab.Greeter/Greet"', "http2.headers.authorization"],
)
def grpc(lab):
    identity = lab.pki.server(HOST)
    python = lab.venv / "bin/python"
    lab.serve(python, "-c", SERVICE, "127.0.0.1:50052", port=50052)
    lab.serve(python, "-c", TERMINATOR, v4(HOST), identity.chain, identity.key, lab.dir / KEYS, port=443)
    lab.python(CALLER, f"{HOST}:443", lab.pki.root, "4711-0815")
