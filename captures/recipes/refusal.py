"""Servers that turn clients away for want of a certificate, or for the wrong one: what each stack puts on the wire.

Each flow's server name begins with the truth: at `refused` the server insists and the client has no certificate, at
`foreign` the client sends one of an authority that the server does not know, at `admitted` the server asks without
need, and lets the client in. The client says what became of it, and the recipe holds that against the name.
"""

import time

from . import client_flight
from .catalogue import capture
from .client_flight import merge, stop

REFUSED, FOREIGN, ADMITTED = "refused.flight.test", "foreign.flight.test", "admitted.flight.test"
INSISTS, ASKS = True, False
PORT = 443
VERSIONS = ["1.2", "1.3"]
RULE = "client-certificate-declined"


def identity(lab):
    return lab.pki.leaf("server-refusal", [REFUSED, FOREIGN, ADMITTED])


def stranger(lab):
    """A client certificate of an authority that no server here knows."""
    return lab.pki.leaf("client-stranger", [], purpose="clientAuth", issuer="stranger")


def ask(lab, host, version, *options, fails=False):
    """curl fetches a page with this version of TLS alone, and says whether it got one."""
    only = ["--tlsv1.2", "--tls-max", version] if version == "1.2" else ["--tlsv1.3"]
    lab.curl("--fail", *only, *options, f"https://{host}/", fails=fails)


def turned_away(lab):
    wrong = stranger(lab)
    for version in VERSIONS:
        ask(lab, REFUSED, version, fails=True)
        ask(lab, FOREIGN, version, "--cert", wrong.chain, "--key", wrong.key, fails=True)


def refusals(name, shows, tools, start):
    """Declares a capture: curl, and one server program that insists, and then only asks."""

    @capture(
        f"refusal/{name}.pcap",
        shows,
        tools=["curl", *tools, "dnsmasq"],
        fires=[RULE],
        expect=["tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304"],
    )
    def record(lab):
        server = start(lab, INSISTS)
        with lab.recording():
            turned_away(lab)
        stop(lab, [server])
        start(lab, ASKS)
        more = lab.temporary("more.pcap")
        with lab.recording(file=more):
            for version in VERSIONS:
                ask(lab, ADMITTED, version)
        merge(lab, more)

    record.__name__ = name.replace("-", "_")
    return record


def openssl(lab, insists, *options):
    own = identity(lab)
    command = ["openssl", "s_server", "-accept", PORT, "-quiet", "-WWW", "-CAfile", lab.pki.root]
    command += ["-cert", own.certificate, "-key", own.key, "-cert_chain", own.chain]
    (lab.dir / "index.html").write_text("Good day.\n")
    return lab.serve(*command, *(["-Verify", 3, "-verify_return_error"] if insists else ["-verify", 3]), *options, port=PORT)


GO = """
package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
)

func main() {
	root, _ := os.ReadFile(os.Args[1])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	settings := &tls.Config{ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	if os.Args[4] == "insists" {
		settings.ClientAuth = tls.RequireAndVerifyClientCert
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("Good day.\\n")) })
	server := &http.Server{Addr: ":443", TLSConfig: settings}
	panic(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
"""


def go(lab, insists):
    own, program = identity(lab), lab.dir / "serve-go"
    if not program.exists():
        source = lab.dir / "serve.go"
        source.write_text(GO)
        client_flight.build_go(lab, source, program)
    words = [program, lab.pki.root, own.chain, own.key, "insists" if insists else "asks"]
    return lab.serve(*words, port=PORT)


JAVA = """
import java.io.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Insisting {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var stream = Files.newInputStream(Path.of(arguments[0]))) {
            store.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(stream));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (var stream = Files.newInputStream(Path.of(arguments[1]))) {
            own.load(stream, "secret".toCharArray());
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, "secret".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(443);
        if (arguments[2].equals("insists")) {
            listener.setNeedClientAuth(true);
        } else {
            listener.setWantClientAuth(true);
        }
        while (true) {
            try (SSLSocket socket = (SSLSocket) listener.accept()) {
                socket.setSoTimeout(5000);
                BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
                while (!in.readLine().isEmpty()) {}
                socket.getOutputStream().write("HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\ngood\\n".getBytes());
            } catch (IOException error) {
                System.err.println(error);
            }
        }
    }
}
"""


def java(lab, insists):
    source = lab.dir / "Insisting.java"
    source.write_text(JAVA)
    words = ["java", "-Xshare:auto", source, lab.pki.root, client_flight.pkcs12(lab, identity(lab))]
    return lab.serve(*words, "insists" if insists else "asks", port=PORT)


def gnutls(lab, insists):
    own = identity(lab)
    command = ["gnutls-serv", "--quiet", "--http", "--port", PORT, "--x509cafile", lab.pki.root]
    command += ["--x509certfile", own.chain, "--x509keyfile", own.key, "--verify-client-cert"]
    return lab.serve(*command, *(["--require-client-cert"] if insists else []), port=PORT)


def nss(lab, insists):
    database = client_flight.nss_database(lab, "server", identity(lab))
    command = ["selfserv", "-d", f"sql:{database}", "-n", "own", "-p", PORT, "-V", "tls1.2:tls1.3"]
    return lab.serve(*command, *["-r"] * (2 if insists else 1), port=PORT)


NODE = """
const [root, chain, key, insists] = process.argv.slice(1), read = require('fs').readFileSync;
const settings = { ca: read(root), cert: read(chain), key: read(key), requestCert: true, rejectUnauthorized: insists === 'insists' };
require('https').createServer(settings, (_, response) => response.end('Good day.\\n')).listen(443);
"""


def node(lab, insists):
    own = identity(lab)
    words = ["node", "-e", NODE, lab.pki.root, own.chain, own.key, "insists" if insists else "asks"]
    return lab.serve(*words, port=PORT)


refusals(
    "go",
    "Go's HTTP server insists on a client certificate and turns curl away; asked without need, it lets it in.",
    ["go"],
    go,
)
refusals(
    "java",
    "A server on JSSE, which pads its records, insists on a client certificate; asked without need, it lets curl in.",
    ["java"],
    java,
)
refusals(
    "gnutls",
    "gnutls-serv insists on a client certificate and turns curl away; asked without need, it lets it in.",
    ["gnutls-serv"],
    gnutls,
)
refusals(
    "nss",
    "NSS's selfserv insists on a client certificate and turns curl away; asked without need, it lets it in.",
    ["selfserv"],
    nss,
)
refusals(
    "node",
    "Node's HTTPS server insists on a client certificate; one that it does not know it drops without a word, after the handshake.",
    ["node"],
    node,
)


@capture(
    "refusal/openssl.pcap",
    "openssl s_server insists on a client certificate and turns curl away; asked without need and without tickets, it lets it in.",
    tools=["curl", "openssl s_client", "openssl s_server", "dnsmasq"],
    fires=[RULE],
    expect=["tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304"],
)
def with_openssl(lab):
    server = openssl(lab, INSISTS)
    with lab.recording():
        turned_away(lab)
    stop(lab, [server])
    openssl(lab, ASKS, "-num_tickets", 0)
    more = lab.temporary("more.pcap")
    with lab.recording(file=more):
        lab.curl("--fail", "--tlsv1.3", f"https://{ADMITTED}/index.html")
    merge(lab, more)


NO_TICKETS = """
import socket, ssl, sys, threading, time
root, chain, key = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=root)
context.load_cert_chain(chain, key)
context.verify_mode, context.num_tickets = ssl.CERT_OPTIONAL, 0
listener = socket.create_server(("", 443))
while True:
    connection, _ = listener.accept()
    with context.wrap_socket(connection, server_side=True) as session:
        # A server that is tired of a silent client: it closes in good order, after longer than any refusal takes.
        session.settimeout(3)
        try:
            session.recv(100)
        except OSError:
            pass
        try:
            session.unwrap()
        except OSError:
            pass
"""


@capture(
    "refusal/closes-later.pcap",
    "A server that hands out no tickets lets clients without a certificate in, and closes when they stay silent: no refusal.",
    tools=["openssl s_client", "python", "dnsmasq"],
    fires=[RULE],
    expect=["tls.record.length == 19 && tcp.srcport == 443"],
)
def closes_later(lab):
    own = identity(lab)
    lab.serve("/usr/bin/python3", "-c", NO_TICKETS, lab.pki.root, own.chain, own.key, port=PORT)
    with lab.recording():
        # The server closes first, after three seconds; the client closes first, at once.
        lab.s_client(ADMITTED, "-tls1_3", request="", wait=4)
        lab.s_client(ADMITTED, "-tls1_3", request="", wait=0.2)
        time.sleep(0.2)
