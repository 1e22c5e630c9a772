"""The same clients before and under interception: what they do with a certificate that somebody else made.

Each client is an app of its own, by uid. All ask shop.test three times: the real server; one whose certificate comes
from an interception authority that they do not know; and that one again when the authority is installed, as a tester
installs it. That each client fails or succeeds as it must is checked while it is recorded.
"""

import base64
import hashlib
import subprocess

from . import client_flight
from .catalogue import capture

HOST = "shop.test"
URL = f"https://{HOST}/"

FETCH = """
import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;

public class Trusting {
    static SSLContext context;
    static X509TrustManager manager;

    static void trust(String roots) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        int number = 0;
        try (var stream = Files.newInputStream(Path.of(roots))) {
            for (Certificate root : CertificateFactory.getInstance("X.509").generateCertificates(stream)) {
                store.setCertificateEntry("root" + number++, root);
            }
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        manager = (X509TrustManager) factory.getTrustManagers()[0];
        context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), null);
    }

    public static void main(String[] arguments) throws Exception {
        trust(arguments[1]);
        BODY
    }
}
"""
JAVA = FETCH.replace(
    "BODY",
    """HttpClient client = HttpClient.newBuilder().sslContext(context).version(HttpClient.Version.HTTP_1_1).build();
        client.send(HttpRequest.newBuilder(URI.create(arguments[0])).build(), HttpResponse.BodyHandlers.ofString());""",
)
OKHTTP = FETCH.replace("Trusting", "Pinning").replace(
    "BODY",
    """okhttp3.OkHttpClient.Builder builder = new okhttp3.OkHttpClient.Builder()
            .retryOnConnectionFailure(false)
            .protocols(java.util.List.of(okhttp3.Protocol.HTTP_1_1))
            .connectionSpecs(java.util.List.of(okhttp3.ConnectionSpec.RESTRICTED_TLS))
            .sslSocketFactory(context.getSocketFactory(), manager);
        builder.certificatePinner(new okhttp3.CertificatePinner.Builder().add("shop.test", arguments[2]).build());
        okhttp3.OkHttpClient client = builder.build();
        client.newCall(new okhttp3.Request.Builder().url(arguments[0]).build()).execute().body().string();
        client.connectionPool().evictAll();
        client.dispatcher().executorService().shutdown();""",
)
JARS = "/usr/share/java/okhttp.jar:/usr/share/java/okio.jar"
NODE = "require('https').get({ host: 'shop.test', ca: require('fs').readFileSync(process.argv[1]), agent: false }, (r) => r.resume());"
PYTHON = """
import http.client, ssl, sys
connection = http.client.HTTPSConnection("shop.test", context=ssl.create_default_context(cafile=sys.argv[1]), timeout=10)
connection.request("GET", "/")
connection.getresponse().read()
"""
BORINGSSL = (
    "import sys; from curl_cffi import requests; "
    "requests.get('https://shop.test/', impersonate='chrome131_android', http_version='v1', verify=sys.argv[1], timeout=10)"
)


def java(lab, source, name, *arguments, **options):
    path = lab.dir / f"{name}.java"
    path.write_text(source)
    lab.phone("java", "-Xshare:auto", "-cp", JARS, path, *arguments, **options)


def pin(identity):
    """The server's key as curl and OkHttp pin it."""
    public = subprocess.run(["openssl", "x509", "-in", identity.certificate, "-noout", "-pubkey"], capture_output=True, check=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public.stdout, capture_output=True, check=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


# uid: what asks; whether it fails where the authority is unknown, and where it is installed.
CLIENTS = {
    10201: ("curl", True, False),
    10202: ("curl -k", False, False),
    10203: ("curl --pinnedpubkey", True, True),
    10204: ("python", True, False),
    10205: ("node", True, False),
    10206: ("go", True, False),
    10207: ("java", True, False),
    10208: ("okhttp pinned", True, True),
    10209: ("boringssl", True, False),
    10210: ("gnutls-cli", True, False),
}


def ask(lab, uid, roots, key, fails):
    name = CLIENTS[uid][0]
    options = {"uid": uid, "fails": fails}
    curl = ["curl", "-sS", "-m", "10", "--cacert", roots]
    match name:
        case "curl":
            lab.phone(*curl, URL, **options)
        case "curl -k":
            lab.phone(*curl, "-k", URL, **options)
        case "curl --pinnedpubkey":
            lab.phone(*curl, "--pinnedpubkey", f"sha256//{key}", URL, **options)
        case "python":
            lab.phone("/usr/bin/python3", "-c", PYTHON, roots, **options)
        case "node":
            lab.phone("node", "-e", NODE, roots, **options)
        case "go":
            client_flight.go(lab, URL, roots, **options)
        case "java":
            java(lab, JAVA, "Trusting", URL, roots, **options)
        case "okhttp pinned":
            java(lab, OKHTTP, "Pinning", URL, roots, f"sha256/{key}", **options)
        case "boringssl":
            lab.python(BORINGSSL, roots, **options)
        case "gnutls-cli":
            words = ["gnutls-cli", "--x509cafile", roots, "--port", "443", "--sni-hostname", HOST]
            lab.phone(*words, "--verify-hostname", HOST, HOST, input=b"GET / HTTP/1.0\r\n\r\n", **options)


def session(name, shows, intercepted, installed=False, protocols="TLSv1.2 TLSv1.3", **rules):
    """Declares a capture: every client asks once, in the order of the uids."""

    @capture(
        f"interception/{name}.pcap",
        shows,
        tools=["curl", "python", "node", "go", "java", "okhttp", "curl_cffi chrome131_android", "gnutls-cli", "nginx", "netfilter log"],
        expect=[f"nflog.uid == {uid} && tls.handshake.type == 1" for uid in CLIENTS],
        **rules,
    )
    def record(lab):
        genuine = lab.pki.server(HOST)
        identity, roots = genuine, lab.pki.root
        if intercepted:
            authority = lab.pki.authority("interceptor", "Interception CA")
            identity = lab.pki.leaf("intercepted", [HOST], issuer="interceptor")
            identity.chain.write_text(identity.certificate.read_text() + authority.read_text())
            if installed:
                roots = lab.dir / "installed.pem"
                roots.write_text(lab.pki.root.read_text() + authority.read_text())
        lab.nginx(lab.https(HOST, identity, protocols=protocols))
        client_flight.go_program(lab)
        with lab.owners() as log:
            for uid, (_, unknown, known) in CLIENTS.items():
                ask(lab, uid, roots, pin(genuine), intercepted and (known if installed else unknown))
        lab.out.write_bytes(log.read_bytes())

    record.__name__ = name.replace("-", "_")


session("baseline", "Ten clients fetch https://shop.test/, each an app of its own; nobody is in between.", False)
session(
    "untrusted",
    "The same ten clients, while somebody shows them a certificate of an authority that they do not know.",
    True,
)
session(
    "installed",
    "The same ten clients again, with that authority among those that they trust: two have pinned the real key.",
    True,
    True,
)
session(
    "untrusted-tls12",
    "The ten clients and the unknown authority under TLS 1.2, where certificates and alerts are in the open.",
    True,
    protocols="TLSv1.2",
    fires=["accepted-untrusted-chain"],
)
session(
    "installed-tls12",
    "The ten clients and the installed authority under TLS 1.2.",
    True,
    True,
    protocols="TLSv1.2",
    fires=["accepted-untrusted-chain"],
)
