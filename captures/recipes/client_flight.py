"""TLS 1.3 client certificates as every stack sends, declines or never sends them: what record lengths must tell.

Each flow's server name begins with the truth: `sent`, `declined`, `not-sent`; `resumed` sends at first and resumes then;
`early` resumes with 0-RTT data that the server takes or refuses; at `broken-off` the client gives up before its
Finished. The server logs its keys, and after each recording tshark decrypts it and is held against the names; the
keys are thrown away, so that the captures are what an observer without keys sees.
"""

import collections
import json
import subprocess
import time
from pathlib import Path

from .catalogue import capture
from .network import NET, PHONE, v4

SENT, DECLINED, BARE = "sent.flight.test", "declined.flight.test", "not-sent.flight.test"
RESUMED, EARLY, BROKEN = "resumed.flight.test", "early.flight.test", "broken-off.flight.test"
ALL = [SENT, DECLINED, BARE, RESUMED, EARLY, BROKEN]
KEYS = "flight-keys.log"

SUITES = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]


def identity(lab):
    """What all servers of this module show."""
    return lab.pki.leaf("server-flight", ALL)


def serve(lab, *hosts, options=(), insist=False):
    """An `openssl s_server` for each host, which asks for a certificate unless it is `not-sent`'s."""
    own = identity(lab)
    started = []
    for host in hosts:
        ask = ["-Verify" if insist else "-verify", "5", "-CAfile", lab.pki.root]
        command = ["openssl", "s_server", "-accept", f"{v4(host)}:443", "-quiet", "-WWW"]
        command += ["-cert", own.certificate, "-key", own.key, "-cert_chain", own.chain]
        command += ["-keylogfile", lab.dir / KEYS, *([] if host == BARE else ask), *options]
        started.append(lab.serve(*command))
        await_address(lab, v4(host))
    return started


def await_address(lab, address):
    for _ in range(100):
        if lab.exec(NET, "ss", "-Hltn", f"src {address}:443").stdout.strip():
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {address}")


def stop(lab, servers):
    for server in servers:
        server.terminate()
        server.wait(5)
        lab._processes.remove(server)


def tshark(lab, *fields):
    """One list of values for each frame with decrypted handshake messages or alerts."""
    command = ["tshark", "-o", f"tls.keylog_file:{lab.dir / KEYS}", "-r", lab.out, "-Y", "tls.handshake or tls.alert_message"]
    command += ["-T", "fields", "-E", "separator=|", *(part for field in fields for part in ("-e", field))]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    return [line.split("|") for line in said.splitlines()]


def hold_against_names(lab, least, in_advance=False):
    """Decrypts the recording and compares what each client did with the name that it asked for.

    With `in_advance`, a client may break off when it is asked for a certificate, look for one, and come again.
    """
    flows = collections.defaultdict(lambda: {"name": "", "client": [], "lengths": [], "psk": False})
    fields = ["tcp.stream", "tcp.dstport", "tls.handshake.type", "tls.handshake.extensions_server_name"]
    fields += ["tls.handshake.certificates_length", "tls.handshake.extension.type"]
    for stream, port, kinds, name, lengths, extensions in tshark(lab, *fields):
        flow = flows[stream]
        kinds, lengths = kinds.split(",") if kinds else [], lengths.split(",") if lengths else []
        if port == "443":
            flow["name"] = flow["name"] or name.split(",")[0]
            flow["client"] += kinds
            flow["lengths"] += lengths
        elif "2" in kinds and "41" in extensions.split(","):
            flow["psk"] = True
    if len(flows) < least:
        raise RuntimeError(f"{len(flows)} flows instead of {least}")
    for stream, flow in flows.items():
        certificate = "11" in flow["client"] or "25" in flow["client"]
        full = "25" in flow["client"] or any(int(length) > 0 for length in flow["lengths"])
        finished = "20" in flow["client"]
        truth = "sent" if full else "declined" if certificate else "not-sent" if finished else "broken-off"
        name = flow["name"].split(".")[0]
        if in_advance and truth == "broken-off" and name in ("sent", "declined"):
            continue
        agrees = {"resumed": flow["psk"] or truth == "sent", "early": flow["psk"] or truth == "not-sent"}
        if not agrees.get(name, truth == name):
            raise RuntimeError(f"stream {stream}: {truth} behind the name {flow['name']} ({flow})")


def flight(name, shows, tools, flows, in_advance=False, **rules):
    """Declares a capture of this folder: the decorated function acts, and the names are held against the keys."""

    def declare(act):
        def record(lab):
            (lab.dir / KEYS).unlink(missing_ok=True)
            act(lab)
            hold_against_names(lab, flows, in_advance)

        record.__name__ = act.__name__
        capture(
            f"client_flight/{name}.pcap",
            shows,
            tools=tools,
            expect=["tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304"],
            forbid=["tls.handshake.type == 13"],
            **rules,
        )(record)
        return record

    return declare


def own(leaf, chain=2):
    """Options of s_client that present a leaf with a chain of so many certificates."""
    options = ["-cert", leaf.certificate, "-key", leaf.key]
    return options + (["-cert_chain", leaf.chain] if chain > 1 else [])


def ask(lab, host, *options, **settings):
    lab.s_client(host, "-tls1_3", *options, wait=0.15, **settings)


def longer(lab, leaf):
    """The leaf with its issuer and the root: a chain of three."""
    chain = lab.dir / "three.pem"
    chain.write_text(leaf.chain.read_text() + lab.pki.root.read_text())
    return chain


ASKS = ["client-certificate-declined"]


@flight(
    "openssl-suites",
    "openssl s_client sends, declines and is not asked for a certificate under each suite of TLS 1.3.",
    ["openssl s_client", "openssl s_server"],
    15,
    fires=ASKS,
)
def openssl_suites(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", ":".join(SUITES)])
    with lab.recording():
        for suite in SUITES:
            for host, options in ((SENT, own(leaf)), (DECLINED, []), (BARE, own(leaf))):
                ask(lab, host, "-ciphersuites", suite, *options)


@flight(
    "openssl-keys",
    "openssl s_client sends certificates with EC, RSA and Ed25519 keys, in chains of one to three.",
    ["openssl s_client", "openssl s_server"],
    9,
    silent=ASKS,
)
def openssl_keys(lab):
    serve(lab, SENT)
    with lab.recording():
        for name, key in (("phone", "ec"), ("rsa", "rsa2048"), ("ed25519", "ed25519")):
            leaf = lab.pki.client(name, key=key)
            base = ["-cert", leaf.certificate, "-key", leaf.key]
            ask(lab, SENT, *base)
            ask(lab, SENT, *base, "-cert_chain", leaf.chain)
            ask(lab, SENT, *base, "-cert_chain", longer(lab, leaf))


@flight(
    "openssl-retry",
    "openssl s_client answers a HelloRetryRequest, and then sends, declines or is not asked for a certificate.",
    ["openssl s_client", "openssl s_server"],
    3,
    fires=ASKS,
)
def openssl_retry(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE, options=["-groups", "P-384"])
    with lab.recording():
        for host, options in ((SENT, own(leaf)), (DECLINED, []), (BARE, [])):
            ask(lab, host, "-groups", "X25519:P-384", *options)


@flight(
    "openssl-records",
    "openssl s_client cuts its flight into records of 512 bytes, as it wishes or as the server is told.",
    ["openssl s_client", "openssl s_server"],
    6,
    fires=ASKS,
)
def openssl_records(lab):
    leaf = lab.pki.client("rsa", key="rsa2048")
    serve(lab, SENT, DECLINED, BARE)
    with lab.recording():
        for host, options in ((SENT, own(leaf)), (DECLINED, []), (BARE, [])):
            ask(lab, host, "-max_send_frag", "512", *options)
            ask(lab, host, "-maxfraglen", "512", *options)


@flight(
    "openssl-padding",
    "openssl s_client pads its records to blocks of 16 to 512 bytes: lengths that say little or nothing.",
    ["openssl s_client", "openssl s_server"],
    12,
)
def openssl_padding(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE)
    with lab.recording():
        for block in (16, 100, 256, 512):
            for host, options in ((SENT, own(leaf)), (DECLINED, []), (BARE, [])):
                ask(lab, host, "-record_padding", block, *options)


@flight(
    "openssl-insists",
    "A server that insists on a certificate turns openssl s_client away, which has none; one that has is let in.",
    ["openssl s_client", "openssl s_server"],
    2,
    fires=ASKS,
)
def openssl_insists(lab):
    serve(lab, SENT, DECLINED, insist=True)
    with lab.recording():
        ask(lab, DECLINED, fails=True)
        ask(lab, SENT, *own(lab.pki.client()))


@flight(
    "openssl-closes",
    "openssl s_client closes each connection at once, without having asked for anything.",
    ["openssl s_client", "openssl s_server"],
    3,
    fires=ASKS,
)
def openssl_closes(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE)
    with lab.recording():
        for host, options in ((SENT, own(leaf)), (DECLINED, []), (BARE, [])):
            ask(lab, host, *options, request="")


@flight(
    "openssl-resumed",
    "openssl s_client resumes a session with a client certificate, twice: neither shows one.",
    ["openssl s_client", "openssl s_server"],
    3,
    silent=ASKS,
)
def openssl_resumed(lab):
    state, leaf = lab.dir / "flight-session.pem", lab.pki.client()
    state.unlink(missing_ok=True)
    serve(lab, RESUMED)
    with lab.recording():
        ask(lab, RESUMED, *own(leaf), "-sess_out", state)
        ask(lab, RESUMED, *own(leaf), "-sess_in", state, "-sess_out", state)
        ask(lab, RESUMED, *own(leaf), "-sess_in", state)


@flight(
    "openssl-early",
    "openssl s_client sends 0-RTT data that the server takes, and then to one that takes neither data nor session.",
    ["openssl s_client", "openssl s_server"],
    3,
    silent=ASKS,
)
def openssl_early(lab):
    state, data = lab.dir / "flight-early.pem", lab.dir / "flight-early.txt"
    state.unlink(missing_ok=True)
    data.write_text("GET / HTTP/1.0\r\nX-Filler: " + "x" * 400 + "\r\n\r\n")
    command = ["-early_data", "-max_early_data", "16384", "-no_anti_replay"]
    server = start_early(lab, command)
    with lab.recording():
        ask(lab, EARLY, "-sess_out", state)
        ask(lab, EARLY, "-sess_in", state, "-early_data", data, request="")
        stop(lab, server)
        start_early(lab, [])
        ask(lab, EARLY, "-sess_in", state, "-early_data", data)


def start_early(lab, options):
    own_ = identity(lab)
    command = ["openssl", "s_server", "-accept", f"{v4(EARLY)}:443", "-quiet", *([] if options else ["-WWW"])]
    command += ["-cert", own_.certificate, "-key", own_.key, "-cert_chain", own_.chain]
    server = lab.serve(*command, "-keylogfile", lab.dir / KEYS, *options, stdin=subprocess.PIPE)
    await_address(lab, v4(EARLY))
    return [server]


@flight(
    "curl",
    "curl sends, declines and is not asked for a certificate under TLS 1.3, with SHA-384 and with SHA-256.",
    ["curl", "openssl s_server", "dnsmasq"],
    6,
    fires=ASKS,
)
def curl(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE)
    with lab.recording():
        for suite in SUITES[:2]:
            for host, options in ((SENT, ["--cert", leaf.chain, "--key", leaf.key]), (DECLINED, []), (BARE, [])):
                lab.curl("--tls13-ciphers", suite, *options, f"https://{host}/")


@flight(
    "boringssl",
    "BoringSSL as Chrome on Android configures it sends, declines and is not asked: its flight is one record.",
    ["curl_cffi chrome131_android", "curl_cffi chrome99_android", "openssl s_server", "dnsmasq"],
    12,
    fires=ASKS,
)
def boringssl(lab):
    script = (
        "import sys; from curl_cffi import requests; "
        "requests.get(sys.argv[1], impersonate=sys.argv[2], verify=sys.argv[3], timeout=10, "
        "http_version='v1', cert=tuple(sys.argv[4:]) or None)"
    )
    leaves = [lab.pki.client(), lab.pki.client("rsa", key="rsa2048")]
    for suite in SUITES[:2]:
        servers = serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", suite])
        with lab.recording() if suite == SUITES[0] else lab.recording(file=lab.temporary("more.pcap")):
            for profile, leaf in zip(("chrome131_android", "chrome99_android"), leaves, strict=True):
                for host, files in ((SENT, [leaf.chain, leaf.key]), (DECLINED, []), (BARE, [])):
                    lab.python(script, f"https://{host}/", profile, lab.pki.root, *files)
        stop(lab, servers)
    merge(lab, lab.temporary("more.pcap"))


def merge(lab, *others):
    """Appends recordings to the first: what was recorded in between servers is one capture."""
    whole = lab.dir / "whole.pcap"
    lab.run("mergecap", "-a", "-F", "pcap", "-w", whole, lab.out, *others)
    lab.out.write_bytes(whole.read_bytes())


@flight(
    "gnutls",
    "gnutls-cli sends, declines and is not asked for a certificate, with SHA-384, SHA-256, CCM and CCM_8.",
    ["gnutls-cli", "openssl s_server"],
    12,
    fires=ASKS,
)
def gnutls(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", ":".join(SUITES)])
    with lab.recording():
        for cipher in ("AES-256-GCM", "AES-128-GCM", "AES-128-CCM", "AES-128-CCM-8"):
            priority = f"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{cipher}"
            for host, files in ((SENT, leaf), (DECLINED, None), (BARE, None)):
                options = ["--x509certfile", files.chain, "--x509keyfile", files.key] if files else []
                lab.gnutls_cli(host, priority, *options)


@flight(
    "gnutls-compressed",
    "gnutls-serv takes compressed certificates (RFC 8879), and gnutls-cli sends its own so; then it declines.",
    ["gnutls-cli", "gnutls-serv"],
    4,
    fires=ASKS,
)
def gnutls_compressed(lab):
    leaf, server = lab.pki.client(), identity(lab)
    rsa = lab.pki.client("rsa", key="rsa2048")
    command = ["env", f"SSLKEYLOGFILE={lab.dir / KEYS}", "gnutls-serv", "--quiet", "--http", "--port", "443"]
    command += ["--x509certfile", server.chain, "--x509keyfile", server.key, "--x509cafile", lab.pki.root]
    lab.serve(*command, "--compress-cert=zlib", "--compress-cert=brotli", port=443)
    with lab.recording():
        for host, files, method in (
            (SENT, leaf, "zlib"),
            (SENT, leaf, "brotli"),
            (SENT, rsa, "zlib"),
            (DECLINED, None, "zlib"),
        ):
            options = ["--x509certfile", files.chain, "--x509keyfile", files.key] if files else []
            options.append(f"--compress-cert={method}")
            lab.gnutls_cli(host, "NORMAL:-VERS-ALL:+VERS-TLS1.3", *options)


GO = """
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	root, _ := os.ReadFile(os.Args[2])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	settings := &tls.Config{RootCAs: pool}
	if len(os.Args) > 4 {
		own, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
		if err != nil {
			panic(err)
		}
		settings.Certificates = []tls.Certificate{own}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
	response, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(io.Discard, response.Body)
}
"""


def go_program(lab):
    """Go's own HTTP client on its own TLS stack, built once a run."""
    program = lab.dir / "fetch-go"
    if not program.exists():
        source = lab.dir / "fetch.go"
        source.write_text(GO)
        build_go(lab, source, program)
    return program


def build_go(lab, source, program):
    """Compiles a Go program of one file, which needs nothing but Go's own library."""
    cache = {"GOCACHE": str(lab.pki.dir.parent / "go-cache"), "GO111MODULE": "off", "HOME": str(lab.dir)}
    environment = {**cache, "PATH": "/usr/lib/go/bin:/usr/local/bin:/usr/bin:/bin"}
    command = ["go", "build", "-o", program, source]
    subprocess.run(command, check=True, env=environment, capture_output=True)


def go(lab, *arguments, **options):
    """Fetches a URL with Go."""
    lab.phone(go_program(lab), *arguments, **options)


@flight(
    "go",
    "Go's HTTP client sends, declines and is not asked for a certificate.",
    ["go", "openssl s_server", "dnsmasq"],
    8,
    fires=ASKS,
)
def golang(lab):
    for number, suite in enumerate(SUITES[:2]):
        servers = serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", suite])
        go_files = [lab.pki.client(), lab.pki.client("ed25519", key="ed25519")]
        with lab.recording() if number == 0 else lab.recording(file=lab.temporary("more.pcap")):
            for leaf in go_files:
                go(lab, f"https://{SENT}/", lab.pki.root, leaf.chain, leaf.key)
            go(lab, f"https://{DECLINED}/", lab.pki.root)
            go(lab, f"https://{BARE}/", lab.pki.root)
        stop(lab, servers)
    merge(lab, lab.temporary("more.pcap"))


JAVA = """
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Mutual {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var stream = Files.newInputStream(Path.of(arguments[0]))) {
            store.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(stream));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        for (int at = 1; at < arguments.length; at += 3) {
            KeyManager[] keys = null;
            if (arguments[at + 2].length() > 0) {
                KeyStore own = KeyStore.getInstance("PKCS12");
                try (var stream = Files.newInputStream(Path.of(arguments[at + 2]))) {
                    own.load(stream, "secret".toCharArray());
                }
                KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
                factory.init(own, "secret".toCharArray());
                keys = factory.getKeyManagers();
            }
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys, trust.getTrustManagers(), null);
            String host = arguments[at];
            try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(host, 443)) {
                socket.setEnabledProtocols(new String[] {"TLSv1.3"});
                socket.setEnabledCipherSuites(new String[] {arguments[at + 1]});
                OutputStream out = socket.getOutputStream();
                out.write(("GET / HTTP/1.0\\r\\nHost: " + host + "\\r\\n\\r\\n").getBytes());
                out.flush();
                socket.getInputStream().readAllBytes();
            }
        }
    }
}
"""


def pkcs12(lab, leaf):
    """A leaf, its key and its chain as Java takes them."""
    store = lab.dir / f"{leaf.certificate.stem}.p12"
    if not store.exists():
        command = ["openssl", "pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-out", store]
        lab.run(*command, "-passout", "pass:secret", "-name", "own")
    return store


@flight(
    "java",
    "Java sends, declines and is not asked for a certificate on JSSE, which pads each record by 16 bytes.",
    ["java", "openssl s_server", "dnsmasq"],
    15,
    fires=ASKS,
)
def java(lab):
    leaf, rsa = pkcs12(lab, lab.pki.client()), pkcs12(lab, lab.pki.client("rsa", key="rsa2048"))
    serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", ":".join(SUITES)])
    source = lab.dir / "Mutual.java"
    source.write_text(JAVA)
    words = []
    for suite in SUITES[:3]:
        words += [SENT, suite, leaf, DECLINED, suite, "", BARE, suite, "", BARE, suite, leaf, SENT, suite, rsa]
    with lab.recording():
        lab.phone("java", "-Xshare:auto", source, lab.pki.root, *words)


NODE = """
const [root, host, suite, chain, key] = process.argv.slice(1);
const read = require('fs').readFileSync;
const own = chain ? { cert: read(chain), key: read(key) } : {};
require('https').get({ host, ca: read(root), ciphers: suite, agent: false, ...own }, (response) => response.resume());
"""


@flight(
    "node",
    "Node sends, declines and is not asked for a certificate; its first data share a segment with its Finished.",
    ["node", "openssl s_server", "dnsmasq"],
    6,
    fires=ASKS,
)
def node(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE)
    with lab.recording():
        for suite in SUITES[:2]:
            for host, files in ((SENT, [leaf.chain, leaf.key]), (DECLINED, []), (BARE, [])):
                lab.phone("node", "-e", NODE, lab.pki.root, host, suite, *files)


PYTHON = """
import http.client, ssl, sys
root, host, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=root)
if own:
    context.post_handshake_auth = own[0] == "later"
    if own[1:]:
        context.load_cert_chain(*own[1:])
connection = http.client.HTTPSConnection(host, context=context, timeout=10)
connection.request("GET", "/")
connection.getresponse().read()
"""


@flight(
    "python",
    "Python's http.client sends, declines and is not asked for a certificate, also with an offer to send one later.",
    ["python", "openssl s_server", "dnsmasq"],
    6,
    fires=ASKS,
)
def python(lab):
    leaf = lab.pki.client()
    serve(lab, SENT, DECLINED, BARE)
    with lab.recording():
        for when in ("now", "later"):
            for host, files in ((SENT, [leaf.chain, leaf.key]), (DECLINED, []), (BARE, [])):
                lab.phone("/usr/bin/python3", "-c", PYTHON, lab.pki.root, host, when, *files)


@flight(
    "rustls",
    "uv, which stands on rustls, sends, declines and is not asked for a certificate.",
    ["uv", "openssl s_server", "dnsmasq"],
    6,
    fires=ASKS,
)
def rustls(lab):
    leaf = lab.pki.client()
    both = lab.dir / "both.pem"
    key = subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", leaf.key], capture_output=True, check=True)
    both.write_bytes(leaf.chain.read_bytes() + key.stdout)
    for number, suite in enumerate(SUITES[:2]):
        servers = serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", suite])
        with lab.recording() if number == 0 else lab.recording(file=lab.temporary("more.pcap")):
            for host, own_ in ((SENT, [f"SSL_CLIENT_CERT={both}"]), (DECLINED, []), (BARE, [])):
                words = ["env", f"SSL_CERT_FILE={lab.pki.root}", "UV_HTTP_RETRIES=0", "UV_NO_CACHE=1", *own_]
                words += [lab.venv / "bin/uv", "pip", "install", "--system", "--no-config", "--dry-run"]
                lab.phone(*words, "--index-url", f"https://{host}/simple", "nothing", fails=True, cwd=lab.dir)
        stop(lab, servers)
    merge(lab, lab.temporary("more.pcap"))


def nss_database(lab, name, *leaves):
    """An NSS database that trusts the lab's root and holds client certificates with their keys."""
    directory = lab.dir / f"nss-{name}"
    if not directory.exists():
        directory.mkdir()
        store = f"sql:{directory}"
        lab.run("certutil", "-N", "-d", store, "--empty-password")
        lab.run("certutil", "-A", "-d", store, "-n", "root", "-t", "CT,C,C", "-i", lab.pki.root)
        for leaf in leaves:
            lab.run("pk12util", "-i", pkcs12(lab, leaf), "-d", store, "-W", "secret", "-K", "")
    return directory


def tstclnt(lab, host, database, *options):
    """NSS's own test client, which sends one request and waits for the answer."""
    words = ["tstclnt", "-h", v4(host), "-p", 443, "-a", host, "-d", f"sql:{database}", "-o"]
    request = lab.dir / "request.txt"
    request.write_bytes(b"GET / HTTP/1.0\r\n\r\n")
    lab.phone(*words, *options, "-A", request)


@flight(
    "nss",
    "tstclnt of NSS sends certificates with EC and RSA keys, declines and is not asked for one.",
    ["tstclnt", "openssl s_server"],
    6,
    fires=ASKS,
)
def nss(lab):
    leaves = [lab.pki.client(), lab.pki.client("rsa", key="rsa2048")]
    databases = [nss_database(lab, leaf.certificate.stem, leaf) for leaf in leaves]
    empty = nss_database(lab, "none")
    serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", ":".join(SUITES)])
    with lab.recording():
        for suite, database in zip((":1302", ":1301"), databases, strict=True):
            only = ["-V", "tls1.3:tls1.3", "-c", suite]
            tstclnt(lab, SENT, database, "-n", "own", *only)
            tstclnt(lab, DECLINED, empty, *only)
            tstclnt(lab, BARE, empty, *only)


def choose(lab, host):
    """A policy by which Chromium sends a certificate to a host without asking its user."""
    policies = Path(f"/etc/netns/{PHONE}/chromium/policies/managed")
    policies.mkdir(parents=True, exist_ok=True)
    rule = json.dumps({"pattern": f"https://{host}", "filter": {}})
    (policies / "observer.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [rule]}))


@flight(
    "chromium",
    "Chromium breaks off where it is asked for a certificate, and comes again with one or without; it also is not asked.",
    ["chromium", "nginx"],
    4,
    in_advance=True,
    fires=ASKS,
)
def chromium(lab):
    choose(lab, SENT)
    # No session is resumed, and the page wants no icon: what is left is what the names say.
    page = "return 200 '<!doctype html><link rel=icon href=data:,>';"
    fresh = "ssl_session_tickets off; ssl_session_cache off; keepalive_timeout 0;"
    asks = f"{fresh} ssl_verify_client optional; ssl_client_certificate {lab.pki.root}; ssl_verify_depth 3;"
    hosts = {SENT: asks, DECLINED: asks, BARE: fresh}
    lab.nginx(*(lab.https(host, identity(lab), options=words, body=page) for host, words in hosts.items()))
    resolved = ",".join(f"MAP {host} {v4(host)}" for host in hosts)
    options = [f"--ssl-key-log-file={lab.dir / KEYS}", f"--host-resolver-rules={resolved},MAP * ^NOTFOUND"]
    with lab.recording(packets="tcp port 443"):
        for leaf in (lab.pki.client(), lab.pki.client("rsa", key="rsa2048")):
            home = lab.dir / f"home-{leaf.certificate.stem}"
            (home / ".pki").mkdir(parents=True)
            nss_database(lab, leaf.certificate.stem, leaf).rename(home / ".pki/nssdb")
            lab.chromium(f"https://{SENT}/", *options, home=home)
        for host in (DECLINED, BARE):
            lab.chromium(f"https://{host}/", *options, home=lab.dir)
    keep_one_broken_off(lab)


def keep_one_broken_off(lab):
    """Cuts a recording to the flows that the client finished, and the first of those in which it did not."""

    def streams(display_filter):
        command = ["tshark", "-r", lab.out, "-Y", display_filter, "-T", "fields", "-e", "tcp.stream"]
        return {int(line) for line in lab.run(*command, text=True).stdout.split()}

    finished = streams("tcp.dstport == 443 && (tls.record.opaque_type == 23 || tls.record.content_type == 23)")
    kept = finished | {min(streams("tls.handshake.type == 2") - finished)}
    cut = lab.dir / "cut.pcap"
    lab.run("tshark", "-r", lab.out, "-F", "pcap", "-w", cut, "-Y", " || ".join(f"tcp.stream == {one}" for one in sorted(kept)))
    lab.out.write_bytes(cut.read_bytes())


WOLFSSL = """
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

int main(int count, char **words) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(443)};
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    const char *request = "GET / HTTP/1.0\\r\\n\\r\\n";
    char answer[4096];
    inet_pton(AF_INET, words[1], &peer.sin_addr);
    wolfSSL_Init();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    wolfSSL_CTX_load_verify_locations(context, words[3], NULL);
    wolfSSL_CTX_set_cipher_list(context, words[4]);
    if (count > 6) {
        wolfSSL_CTX_use_certificate_chain_file(context, words[5]);
        wolfSSL_CTX_use_PrivateKey_file(context, words[6], SSL_FILETYPE_PEM);
    }
    WOLFSSL *session = wolfSSL_new(context);
    wolfSSL_UseSNI(session, WOLFSSL_SNI_HOST_NAME, words[2], strlen(words[2]));
    if (connect(connection, (struct sockaddr *)&peer, sizeof peer) != 0) return 1;
    wolfSSL_set_fd(session, connection);
    if (wolfSSL_connect(session) != SSL_SUCCESS) {
        fprintf(stderr, "handshake: %d\\n", wolfSSL_get_error(session, 0));
        return 1;
    }
    wolfSSL_write(session, request, strlen(request));
    while (wolfSSL_read(session, answer, sizeof answer) > 0) {}
    wolfSSL_shutdown(session);
    return 0;
}
"""


def wolfssl_program(lab):
    program, source = lab.dir / "fetch-wolfssl", lab.dir / "fetch.c"
    if not program.exists():
        source.write_text(WOLFSSL)
        lab.run("cc", "-o", program, source, "-lwolfssl")
    return program


@flight(
    "wolfssl",
    "A client on wolfSSL sends certificates with EC and RSA keys, declines and is not asked for one.",
    ["wolfSSL", "openssl s_server"],
    6,
    fires=ASKS,
)
def wolfssl(lab):
    leaves = [lab.pki.client(), lab.pki.client("rsa", key="rsa2048")]
    serve(lab, SENT, DECLINED, BARE, options=["-ciphersuites", ":".join(SUITES)])
    program = wolfssl_program(lab)
    with lab.recording():
        for suite, leaf in zip(("TLS13-AES256-GCM-SHA384", "TLS13-AES128-GCM-SHA256"), leaves, strict=True):
            for host, files in ((SENT, [leaf.chain, leaf.key]), (DECLINED, []), (BARE, [])):
                lab.phone(program, v4(host), host, lab.pki.root, suite, *files)
