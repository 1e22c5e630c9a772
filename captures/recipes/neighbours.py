"""An app beside others: neighbouring hosts, open ports, searches, and the platform's own clients."""

import contextlib
import subprocess
import time

from . import capfile, dialects, quic
from .catalogue import capture
from .network import GATEWAY_V4, HOSTS, NET, PHONE, PHONE_V4, v4

SHOP, SYSTEM = 10123, 1073
APPS = {SHOP: ("com.example.shop", "Shop"), SYSTEM: ("com.android.networkstack", "Network manager")}

# Neighbouring hosts


@capture(
    "neighbours/left-out-host.pcap",
    shows="curl fetches https://shop.test/ and http://img.shop.test/: one host of the domain is left out.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "mixed-protection-domain"],
    silent=["mixed-protection-host"],
    expect=["tls.handshake.extensions_server_name == shop.test", "http.host == img.shop.test"],
)
def left_out_host(lab):
    lab.nginx(lab.https("shop.test"), lab.plain_http("img.shop.test"))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.curl("http://img.shop.test/banner")


@capture(
    "neighbours/other-domain.pcap",
    shows="curl fetches https://shop.test/ and http://news.test/: domains of two owners.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=["mixed-protection-domain", "mixed-protection-host"],
    expect=["tls.handshake.extensions_server_name == shop.test", "http.host == news.test"],
)
def other_domain(lab):
    lab.nginx(lab.https("shop.test"), lab.plain_http("news.test"))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.curl("http://news.test/")


@capture(
    "neighbours/redirected-host.pcap",
    shows="curl fetches https://shop.test/; http://pay.shop.test/ only redirects there.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-first-then-redirect", "cleartext-http"],
    silent=["mixed-protection-domain", "mixed-protection-host"],
    expect=["http.host == pay.shop.test", 'http.location contains "https://shop.test"'],
)
def redirected_host(lab):
    lab.nginx(
        lab.https("shop.test"), lab.plain_http("pay.shop.test", body="return 301 https://shop.test/;")
    )
    with lab.recording():
        lab.curl("-L", "http://pay.shop.test/")


# Searches

TRY = """
import socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 0.3).close()
    except OSError:
        pass
"""


def search(file, shows, targets, *, fires=(), expect=()):
    """A Python program that tries one far end after another."""

    @capture(
        f"neighbours/{file}.pcap",
        shows=shows,
        tools=["python"],
        fires=fires,
        silent=[] if fires else ["port-scan"],
        expect=expect,
        lossy=True,
    )
    def record(lab):
        with lab.recording():
            lab.phone("python3", "-c", TRY, *targets)

    record.__name__ = file.replace("-", "_")


search(
    "scan-of-ports",
    "A program tries twenty ports of one address, all of which refuse.",
    [f"{v4('shop.test')}:{port}" for port in range(8000, 8020)],
    fires=["port-scan"],
    expect=["tcp.flags.reset == 1 && tcp.srcport == 8019"],
)
search(
    "few-ports",
    "A program tries twelve ports of one address, all of which refuse.",
    [f"{v4('shop.test')}:{port}" for port in range(8000, 8012)],
    expect=["tcp.flags.reset == 1 && tcp.srcport == 8011"],
)
search(
    "scan-of-hosts",
    "A program tries port 22 of twenty addresses, none of which answers.",
    [f"198.51.100.{number}:22" for number in range(200, 220)],
    fires=["port-scan"],
    expect=["ip.dst == 198.51.100.219 && tcp.dstport == 22"],
)


@capture(
    "neighbours/no-network.pcap",
    shows="curl asks twenty hosts by name, and no port 443 answers: the network is gone, nobody is searching.",
    tools=["curl", "dnsmasq"],
    silent=["port-scan"],
    expect=["tcp.dstport == 443 && tcp.flags.syn == 1", "dns"],
    lossy=True,
)
def no_network(lab):
    urls = [f"https://{host}/" for host in sorted(HOSTS) if host.endswith(".test")][:20]
    with lab.recording(), lab.dropping(443):
        lab.curl("-4", "-Z", "--parallel-max", "20", "-m", "2", *urls, fails=True)


# Open ports


@contextlib.contextmanager
def listening(lab, uid, port):
    """Python's web server on the phone, as an app."""
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    command = ["/usr/bin/python3", "-m", "http.server", str(port), "--directory", str(lab.dir / "www")]
    (lab.dir / "www").mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["ip", "netns", "exec", PHONE, *user, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            if lab.exec(PHONE, "ss", "-Hltn", f"sport = :{port}").stdout.strip():
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(5)


def visit(lab):
    """A neighbour in the same network asks the phone for a page."""
    return lab.exec(NET, "curl", "-sS", "-m", "3", "--interface", GATEWAY_V4, f"http://{PHONE_V4}:8765/")


@capture(
    "neighbours/open-port.pcap",
    shows="An app fetches a page over TLS, and answers a neighbour on a port of its own; netfilter's log has the uids.",
    tools=["curl", "nginx", "python", "netfilter log"],
    fires=["cleartext-http", "listening-port"],
    silent=["port-scan"],
    expect=["nflog.uid == 10123 && tcp.srcport == 8765", "http.response.code == 200"],
)
def open_port(lab):
    lab.nginx(lab.https("shop.test"))
    with listening(lab, SHOP, 8765), lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")):
        lab.curl("-4", "https://shop.test/", uid=SHOP)
        visit(lab)
    lab.out.write_bytes(log.read_bytes())


@capture(
    "neighbours/closed-port.pcap",
    shows="An app fetches a page over TLS; a neighbour tries a port that nobody listens on, and the kernel refuses.",
    tools=["curl", "nginx", "netfilter log"],
    silent=["listening-port", "port-scan"],
    expect=["nflog.uid == 10123", "tcp.dstport == 8765 || tcp.srcport == 8765"],
)
def closed_port(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")):
        lab.curl("-4", "https://shop.test/", uid=SHOP)
        visit(lab)
    lab.out.write_bytes(log.read_bytes())


# The platform's own clients


def beside(file, shows, *arguments, fires=(), silent=(), expect=()):
    """The platform and an app fetch a page each, as PCAPdroid writes it down."""

    @capture(
        f"neighbours/{file}.pcapng",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq", "netfilter log"],
        how="converted",
        fires=fires,
        silent=silent,
        expect=expect,
    )
    def record(lab):
        lab.nginx(lab.https("news.test"), lab.https("shop.test", lab.pki.server("shop.test", key="rsa2048")))
        with lab.android_resolver(0), lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")) as wire:
            lab.curl("-4", "https://news.test/time", uid=SYSTEM)
            lab.curl("-4", *arguments, "https://shop.test/", uid=SHOP)
        ownership = dialects.Ownership(dialects.owners_of(capfile.read(log)))
        packets = dialects.without_ethernet(capfile.read(wire))
        lab.out.write_bytes(dialects.pcapdroid_pcapng(packets, ownership, APPS))

    record.__name__ = file.replace("-", "_")


BOTH = ['frame.comment == "u-1073" && tls.handshake.type == 1', 'frame.comment == "u-10123" && tls.handshake.type == 1']
beside(
    "older-stack",
    "The platform offers TLS 1.3; an app offers TLS 1.2 at most, and suites with RSA key transport.",
    "--tls-max",
    "1.2",
    "--ciphers",
    "ECDHE+AESGCM:AES128-GCM-SHA256",
    fires=["weaker-than-platform"],
    expect=BOTH,
)
beside(
    "same-stack",
    "The platform and an app offer the same.",
    silent=["weaker-than-platform"],
    expect=BOTH,
)


def is_short(frame):
    """Whether a frame of netfilter's log holds a server's datagram of QUIC with a short header."""
    packet = dialects.fields_of(frame)[9]
    port = int.from_bytes(packet[20:22], "big") if packet[9] == 17 else 0
    return port == 443 and packet[28] & 0x80 == 0


@capture(
    "neighbours/begun-before.pcap",
    shows="An app has QUIC open when the capture begins, and the server speaks first; netfilter's log has the uids.",
    tools=["aioquic", "curl", "nginx", "netfilter log"],
    how="converted",
    silent=["listening-port", "port-scan"],
    expect=["nflog.uid == 10123 && udp.dstport == 443", "frame.number == 1 && udp.srcport == 443"],
    forbid=["quic.long.packet_type == 0"],
)
def begun_before(lab):
    lab.nginx(lab.https("pay.shop.test"))
    quic.serve(lab, "shop.test")
    with lab.owners() as log, lab.recording(file=lab.temporary("wire.pcap")):
        quic.ask(lab, "shop.test", "update", uid=SHOP)
        lab.curl("-4", "https://pay.shop.test/", uid=SHOP)
    frames = capfile.read(log)
    first = next(number for number, frame in enumerate(frames) if is_short(frame))
    lab.out.write_bytes(capfile.pcap(frames[first:]))
