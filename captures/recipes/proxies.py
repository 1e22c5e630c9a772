"""SOCKS: what curl asks of a proxy, and what it says to the host behind it."""

from .catalogue import capture
from .network import GATEWAY_V4, v4

HOST = "proxy.test"
RULES = ["cleartext-credentials", "cleartext-http", "cleartext-protocol", "cleartext-unknown"]

CONFIGURATION = """
logoutput: stderr
user.privileged: root
user.unprivileged: root
internal: {address} port = 1080
external: up0
clientmethod: none
socksmethod: none
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks {verdict} {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""


def dante(lab, verdict="pass"):
    """Dante on the proxy's address, which lets everybody through, or nobody."""
    configuration = lab.dir / f"danted-{verdict}.conf"
    configuration.write_text(CONFIGURATION.format(address=v4(HOST), verdict=verdict))
    # Dante has no address of a name server of its own, and the machine's is not in the lab.
    hosts = lab.dir / "proxy-hosts"
    hosts.write_text(f"{v4('shop.test')} shop.test\n")
    start = f"mount --bind {hosts} /etc/hosts && exec danted -f {configuration}"
    lab.serve("unshare", "--mount", "sh", "-c", start, port=1080)


def asked(file, shows, *command, expect, fires=(), forbid=(), verdict="pass", fails=False):
    """One command of curl through Dante."""

    @capture(
        f"proxies/{file}.pcap",
        shows=shows,
        tools=["curl", "dante", "nginx", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=expect,
        forbid=forbid,
    )
    def record(lab):
        lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test"))
        dante(lab, verdict)
        with lab.recording():
            lab.curl(*command, fails=fails)

    record.__name__ = file.replace("-", "_")


SERVER = f"{v4(HOST)}:1080"

asked(
    "socks5-http",
    "curl --socks5 fetches http://shop.test/ through Dante; curl looks the name up itself.",
    "--socks5",
    SERVER,
    "http://shop.test/",
    fires=["cleartext-http"],
    expect=["socks.version == 5", "http.request", "socks.dst == 198.51.100.10"],
)
asked(
    "socks5-https",
    "curl --socks5 fetches https://shop.test/ through Dante.",
    "--socks5",
    SERVER,
    "https://shop.test/",
    expect=["socks.version == 5", "tls.handshake.type == 1"],
    forbid=["http.request"],
)
asked(
    "socks5-hostname-http",
    "curl --socks5-hostname has Dante look up shop.test, and fetches http://shop.test/.",
    "--socks5-hostname",
    SERVER,
    "http://shop.test/",
    fires=["cleartext-http"],
    expect=['socks.remote_name == "shop.test"', "http.request"],
    forbid=["dns"],
)
asked(
    "socks5-hostname-https",
    "curl --socks5-hostname has Dante look up shop.test, and fetches https://shop.test/.",
    "--socks5-hostname",
    SERVER,
    "https://shop.test/",
    expect=['socks.remote_name == "shop.test"', "tls.handshake.type == 1"],
    forbid=["http.request", "dns"],
)
asked(
    "socks4-http",
    "curl --socks4 fetches http://shop.test/ through Dante.",
    "--socks4",
    SERVER,
    "http://shop.test/",
    fires=["cleartext-http"],
    expect=["socks.version == 4", "http.request"],
)
asked(
    "socks4-https",
    "curl --socks4 fetches https://shop.test/ through Dante.",
    "--socks4",
    SERVER,
    "https://shop.test/",
    expect=["socks.version == 4", "tls.handshake.type == 1"],
    forbid=["http.request"],
)
asked(
    "socks5-refused",
    "Dante lets nobody through: curl's request for http://shop.test/ is answered no.",
    "--socks5",
    SERVER,
    "http://shop.test/",
    expect=["socks.results == 2"],
    forbid=["http.request"],
    verdict="block",
    fails=True,
)


@capture(
    "proxies/socks5-password.pcap",
    shows="curl gives microsocks a user name and a password, and fetches https://shop.test/ through it.",
    tools=["curl", "microsocks", "nginx", "dnsmasq"],
    fires=["cleartext-credentials"],
    silent=["cleartext-http", "cleartext-unknown"],
    expect=['socks.password == "not-a-secret"', "tls.handshake.type == 1"],
    forbid=["http.request"],
)
def socks5_password(lab):
    lab.nginx(lab.https("shop.test"))
    lab.serve("microsocks", "-i", v4(HOST), "-p", "1080", "-u", "anna", "-P", "not-a-secret", port=1080)
    with lab.recording():
        lab.curl("--socks5", SERVER, "--proxy-user", "anna:not-a-secret", "https://shop.test/")


def by_name(scheme, expect, fires=(), forbid=()):
    """SOCKS 4a, which Dante does not answer, through OpenSSH's client."""

    @capture(
        f"proxies/socks4a-{scheme}.pcap",
        shows=f"curl --socks4a has ssh -D look up shop.test, and fetches {scheme}://shop.test/.",
        tools=["curl", "ssh", "sshd", "nginx", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=["socks.version == 4", 'tcp.payload contains "shop.test"', *expect],
        forbid=["dns", *forbid],
    )
    def record(lab):
        lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test"))
        lab.net_hosts(["shop.test"])
        key = lab.dir / "proxy-key"
        if not key.exists():
            lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        lab.run("mkdir", "-p", "/run/sshd")
        words = ["ListenAddress=127.0.0.1", f"HostKey={key}", f"AuthorizedKeysFile={key}.pub", "StrictModes=no"]
        words += ["UsePAM=no", f"PidFile={lab.dir}/sshd.pid"]
        lab.serve("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *options(words), port=22)
        words = [f"IdentityFile={key}", "StrictHostKeyChecking=no", f"UserKnownHostsFile={lab.dir}/known"]
        lab.serve("ssh", "-F", "/dev/null", "-N", *options(words), "-D", SERVER, "root@127.0.0.1", port=1080)
        with lab.recording():
            lab.curl("--socks4a", SERVER, f"{scheme}://shop.test/")

    record.__name__ = f"socks4a_{scheme}"


def options(words):
    """Settings as OpenSSH's programs take them."""
    return [part for word in words for part in ("-o", word)]


by_name("http", ["http.request"], fires=["cleartext-http"])
by_name("https", ["tls.handshake.type == 1"], forbid=["http.request"])


# PySocks sends datagrams through an association; the first asks dnsmasq by its address, the second goes to a name.
DATAGRAMS = """
import socket, sys
import socks

proxy, resolver, host = sys.argv[1:]


def through(**options):
    end = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
    end.settimeout(5)
    end.set_proxy(socks.SOCKS5, proxy, 1080, **options)
    return end


question = bytes.fromhex("1d2a01000001000000000000") + b"\\x04shop\\x04test\\0\\0\\x01\\0\\x01"
with through() as end:
    end.sendto(question, (resolver, 53))
    answer, _ = end.recvfrom(4096)
    assert answer[:2] == question[:2], answer
with through(rdns=True) as end:
    for number in range(3):
        end.sendto(f'{{"player": "ann", "position": {number}, "token": "hunter2"}}'.encode(), (host, 5140))
"""


@capture(
    "proxies/socks5-datagrams.pcap",
    shows="PySocks sends datagrams through Dante: a question to a name server's address, and JSON to a host's name.",
    tools=["PySocks", "dante", "dnsmasq"],
    fires=["cleartext-unknown"],
    silent=["cleartext-http", "cleartext-protocol", "non-tls-encryption"],
    expect=['udp contains "shop"', 'udp contains "hunter2"'],
)
def socks5_datagrams(lab):
    dante(lab)
    script = lab.dir / "datagrams.py"
    script.write_text(DATAGRAMS)
    with lab.recording():
        lab.phone(lab.venv / "bin" / "python3", script, v4(HOST), GATEWAY_V4, "shop.test")
