"""TLS as different stacks speak it: browsers, Java, Node, GnuTLS."""

import base64

from . import client_flight
from .catalogue import capture
from .network import ECH_KEY, v4
from .tls import SOUND, TLS13, gnutls


def impersonated(profile, shows, expect, fires=()):
    """curl-impersonate's BoringSSL, which says what a browser says."""

    @capture(
        f"tls/{profile.replace('_', '-')}.pcap",
        shows=shows,
        tools=[f"curl_cffi {profile}", "nginx", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in SOUND if rule not in fires],
        expect=[TLS13, *expect],
    )
    def record(lab):
        lab.nginx(lab.https("shop.test"))
        script = (
            "import sys; from curl_cffi import requests; "
            f"requests.get('https://shop.test/', impersonate='{profile}', verify=sys.argv[1], timeout=10)"
        )
        with lab.recording():
            lab.python(script, lab.pki.root)

    record.__name__ = profile


impersonated(
    "chrome99_android",
    "The ClientHello of Chrome 99 on Android: GREASE, compressed certificates, and TLS 1.3.",
    ["tls.handshake.type == 1 && tls.handshake.extension.type == 27"],
)
impersonated(
    "chrome131_android",
    "The ClientHello of Chrome 131 on Android: GREASE and an encrypted ClientHello that is GREASE, too.",
    ["tls.handshake.type == 1 && tls.handshake.extension.type == 65037"],
)
impersonated(
    "chrome136",
    "The ClientHello of Chrome 136: a post-quantum key share makes it longer than a segment.",
    ["tls.handshake.extensions_key_share_group == 4588"],
)
impersonated(
    "safari18_0_ios",
    "The ClientHello of Safari 18 on iOS, which offers TLS 1.0 and 1.1, too.",
    ["tls.handshake.type == 1"],
    fires=["tls-version-offered"],
)


def hello_behind_a_key(lab):
    """NSS's client looks up two.test, and shows shop.test in the open."""
    _, configs = lab.pki.hello_key("shop.test")
    database = client_flight.nss_database(lab, "client")
    lab.phone("dig", "+noedns", "two.test", "A")
    lab.phone("dig", "+noedns", "two.test", "HTTPS")
    request = lab.dir / "request.txt"
    request.write_bytes(b"GET / HTTP/1.0\r\n\r\n")
    words = ["tstclnt", "-h", v4("shop.test"), "-p", 443, "-a", "two.test", "-d", f"sql:{database}", "-V", "tls1.3:tls1.3"]
    return [*words, "-A", request, "-N", base64.b64encode(configs).decode()]


ECH = ["tls.handshake.type == 1 && tls.handshake.extension.type == 65037", "dns.resp.type == 65", TLS13]


@capture(
    "tls/ech-accepted.pcap",
    shows="tstclnt reaches two.test by Encrypted Client Hello: NSS's server has the key, and the name in the open is shop.test.",
    tools=["tstclnt", "selfserv", "dnsmasq", "dig"],
    silent=SOUND,
    expect=ECH,
    forbid=["tls.handshake.extensions_server_name == two.test"],
)
def ech_accepted(lab):
    private, _ = lab.pki.hello_key("shop.test")
    own = lab.pki.leaf("server-two", ["two.test"])
    database = client_flight.nss_database(lab, "hello", own)
    words = ["selfserv", "-d", f"sql:{database}", "-n", "own", "-p", 443, "-V", "tls1.3:tls1.3"]
    lab.serve(*words, "-X", base64.b64encode(private).decode(), port=443)
    with lab.recording():
        lab.phone(*hello_behind_a_key(lab))


@capture(
    "tls/ech-rejected.pcap",
    shows="tstclnt offers two.test by Encrypted Client Hello to a server without the key, and breaks off with an encrypted alert.",
    tools=["tstclnt", "openssl s_server", "dnsmasq", "dig"],
    silent=SOUND,
    expect=ECH,
    forbid=["tls.handshake.extensions_server_name == two.test"],
)
def ech_rejected(lab):
    lab.s_server("shop.test", "-tls1_3")
    with lab.recording():
        lab.phone(*hello_behind_a_key(lab), fails=True)


@capture(
    "tls/ech-public-name.pcap",
    shows="cloudflare-ech.com in the open, with Encrypted Client Hello and without: the first may be for any host of that network.",
    tools=["curl_cffi chrome131_android", "curl", "nginx"],
    silent=SOUND,
    expect=["tls.handshake.extension.type == 65037 && tls.handshake.extensions_server_name == cloudflare-ech.com", TLS13],
)
def ech_public_name(lab):
    """To an observer BoringSSL's GREASE is what a browser sends there whose look-ups are encrypted."""
    name = "cloudflare-ech.com"
    lab.nginx(lab.https("shop.test", lab.pki.leaf("server-network", [name])))
    script = (
        "import sys; from curl_cffi import requests, CurlOpt; "
        "requests.get('https://cloudflare-ech.com/', impersonate='chrome131_android', verify=sys.argv[1], timeout=10, "
        "curl_options={CurlOpt.RESOLVE: ['cloudflare-ech.com:443:198.51.100.10']})"
    )
    with lab.recording():
        lab.python(script, lab.pki.root)
        lab.curl("--resolve", f"{name}:443:{v4('shop.test')}", f"https://{name}/")


@capture(
    "tls/ech-offered.pcap",
    shows="A look-up of one.test gives a key for Encrypted Client Hello, and a ClientHello for that key shows shop.test.",
    tools=["curl_cffi chrome131_android", "nginx", "dnsmasq", "dig"],
    how="made",
    silent=SOUND,
    expect=["tls.handshake.type == 1 && tls.handshake.extension.type == 65037", "dns.resp.type == 65", TLS13],
)
def ech_offered(lab):
    """BoringSSL's GREASE is a real key's ClientHello to everybody but the two ends, once the key has its number.

    The number of the key in the look-up's answer is made equal to the random one of the GREASE.
    """
    lab.nginx(lab.https("shop.test"))
    script = (
        "import sys; from curl_cffi import requests, CurlOpt; "
        "requests.get('https://shop.test/', impersonate='chrome131_android', verify=sys.argv[1], timeout=10, "
        "curl_options={CurlOpt.RESOLVE: ['shop.test:443:198.51.100.10']})"
    )
    with lab.recording():
        lab.phone("dig", "+noedns", "one.test", "A")
        lab.phone("dig", "+noedns", "one.test", "HTTPS")
        lab.python(script, lab.pki.root)
    data = bytearray(lab.out.read_bytes())
    outer = data.index(b"\xfe\x0d", data.index(b"\x16\x03\x01"))
    while data[outer + 4] != 0 or data[outer + 5] != 0 or data[outer + 6] != 1:
        outer = data.index(b"\xfe\x0d", outer + 1)
    key = data.index(bytes.fromhex(ECH_KEY.replace(" ", "")))
    data[key + 4] = data[outer + 9]
    # Without a checksum, as IPv4 allows.
    header = data.rindex(bytes([10, 215, 173, 254, 10, 215, 173, 1, 0, 53]), 0, key) + 8
    data[header + 6 : header + 8] = bytes(2)
    lab.out.write_bytes(data)


@capture(
    "tls/gnutls.pcap",
    shows="gnutls-cli and gnutls-serv under TLS 1.3: each encrypted handshake message in a record of its own.",
    tools=["gnutls-cli", "gnutls-serv"],
    silent=SOUND,
    expect=[TLS13],
)
def gnutls_tls13(lab):
    gnutls(lab, "NORMAL:-VERS-ALL:+VERS-TLS1.3", host="shop.test", key="ec")


@capture(
    "tls/node.pcap",
    shows="Node fetches https://shop.test/ over TLS 1.3.",
    tools=["node", "nginx", "dnsmasq"],
    silent=SOUND,
    expect=[TLS13],
)
def node(lab):
    lab.nginx(lab.https("shop.test"))
    script = (
        "require('https').get({host: 'shop.test', ca: require('fs').readFileSync(process.argv[1]), agent: false},"
        " (response) => response.resume())"
    )
    with lab.recording():
        lab.phone("node", "-e", script, lab.pki.root)


JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Fetch {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        if (arguments[1].length() > 0) {
            try (var stream = Files.newInputStream(Path.of(arguments[1]))) {
                store.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(stream));
            }
        } else {
            store = null;
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        HttpClient client = HttpClient.newBuilder().sslContext(context).version(HttpClient.Version.HTTP_1_1).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
"""


def java(lab, *arguments, **options):
    """Java's own HTTP client on its own TLS stack."""
    source = lab.dir / "Fetch.java"
    source.write_text(JAVA)
    lab.phone("java", "-Xshare:auto", source, *arguments, **options)


@capture(
    "tls/java.pcap",
    shows="Java's HTTP client fetches https://shop.test/ over TLS 1.3; JSSE pads its records.",
    tools=["java", "nginx", "dnsmasq"],
    silent=SOUND,
    expect=[TLS13],
)
def java_tls13(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        java(lab, "https://shop.test/", lab.pki.root)


@capture(
    "tls/java-rejects.pcap",
    shows="Java does not trust the server's authority under TLS 1.3, and its alert is encrypted.",
    tools=["java", "nginx", "dnsmasq"],
    silent=["accepted-untrusted-chain", "tls-failure-then-cleartext"],
    expect=[TLS13],
    forbid=["tls.alert_message.desc"],
)
def java_rejects(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        java(lab, "https://shop.test/", "", fails=True)


@capture(
    "tls/node-rejects.pcap",
    shows="Node does not trust the server's authority under TLS 1.3 and hangs up without a word.",
    tools=["node", "nginx", "dnsmasq"],
    silent=["accepted-untrusted-chain", "tls-failure-then-cleartext"],
    expect=[TLS13],
)
def node_rejects(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.phone("node", "-e", "require('https').get('https://shop.test/')", fails=True)


@capture(
    "tls/chromium.pcap",
    shows="Chromium, headless, opens https://shop.test/ and finds its icon missing.",
    tools=["chromium", "nginx", "dnsmasq"],
    silent=["cleartext-http", "missing-sni", "tls-version-negotiated", "weak-cipher-negotiated"],
    expect=[TLS13, "tls.handshake.extensions_server_name == shop.test"],
)
def chromium(lab):
    lab.nginx(lab.https("shop.test", body="return 200 '<!doctype html><title>Lab</title><p>Good day.';"))
    with lab.recording(packets="host 198.51.100.10 or host 2001:db8:100::10 or udp port 53"):
        lab.chromium("https://shop.test/")
