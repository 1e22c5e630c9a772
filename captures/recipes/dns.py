"""DNS over UDP and TCP: the names behind the addresses."""

from .catalogue import Judged, capture
from .network import GATEWAY_V6

QUIET = ["cleartext-http", "cleartext-unknown", "non-tls-encryption"]


@capture(
    "dns/a-aaaa-https.pcap",
    shows="dig asks for the A, AAAA and HTTPS records of shop.test over UDP.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    # Name service is not the app's choice.
    judged=[Judged("policies/shop-only.toml", silent=["undeclared-endpoint"])],
    expect=["dns.a == 198.51.100.10", "dns.aaaa == 2001:db8:100::10", "dns.resp.type == 65"],
)
def a_aaaa_https(lab):
    with lab.recording():
        for kind in ("A", "AAAA", "HTTPS"):
            lab.phone("dig", "+nocookie", "shop.test", kind)


@capture(
    "dns/tcp.pcap",
    shows="dig asks twice over one TCP connection.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    expect=["tcp && dns.a == 198.51.100.10", "tcp && dns.a == 198.51.100.20"],
)
def tcp(lab):
    with lab.recording():
        lab.phone("dig", "+tcp", "+keepopen", "+nocookie", "shop.test", "A", "chat.test", "A")


@capture(
    "dns/truncated-then-tcp.pcap",
    shows="An answer that does not fit is cut off over UDP, and dig asks again over TCP.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    expect=["udp && dns.flags.truncated == 1 && dns.flags.response == 1", "tcp && dns.txt"],
)
def truncated_then_tcp(lab):
    with lab.recording():
        lab.phone("dig", "+noedns", "big.test", "TXT")


@capture(
    "dns/cname-chain.pcap",
    shows="static.news.test is an alias of an alias of cdn.test; curl then talks to cdn.test's address.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=[*QUIET, "missing-sni"],
    expect=["dns.cname == edge.cdn.test", "tls.handshake.extensions_server_name == static.news.test"],
)
def cname_chain(lab):
    lab.nginx(lab.https("cdn.test", lab.pki.leaf("cdn", ["cdn.test", "static.news.test"])))
    with lab.recording():
        lab.curl("https://static.news.test/app.js")


@capture(
    "dns/shared-address.pcap",
    shows="Two names have one address: which of them a flow without SNI belongs to is open.",
    tools=["dig", "openssl s_client", "nginx", "dnsmasq"],
    fires=["missing-sni"],
    silent=QUIET,
    expect=["dns.qry.name == one.test", "dns.qry.name == two.test"],
)
def shared_address(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.phone("dig", "+nocookie", "one.test")
        lab.phone("dig", "+nocookie", "two.test")
        lab.s_client("shop.test", name=False)


@capture(
    "dns/not-found.pcap",
    shows="A name that does not exist, and one without an AAAA record.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    expect=[
        "dns.flags.rcode == 3",
        "dns.flags.response == 1 && dns.count.answers == 0 && dns.flags.rcode == 0",
    ],
)
def not_found(lab):
    with lab.recording():
        lab.phone("dig", "+nocookie", "nowhere.test")
        lab.phone("dig", "+nocookie", "big.test", "AAAA")


@capture(
    "dns/retransmitted.pcap",
    shows="A resolver that does not answer: dig sends the same query three times.",
    tools=["dig"],
    silent=QUIET,
    expect=["dns.flags.response == 0"],
    forbid=["dns.flags.response == 1"],
)
def retransmitted(lab):
    with lab.dropping(port=5353), lab.recording():
        lab.phone("dig", "+nocookie", "+tries=3", "+time=1", "-p", "5353", "shop.test", fails=True)


@capture(
    "dns/over-ipv6.pcap",
    shows="dig asks the resolver's IPv6 address.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    expect=["ipv6 && dns.a == 198.51.100.20"],
)
def over_ipv6(lab):
    with lab.recording():
        lab.phone("dig", "+nocookie", f"@{GATEWAY_V6}", "chat.test")


@capture(
    "dns/fragmented.pcap",
    shows="An answer of 3000 bytes over UDP in IPv4 fragments.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    expect=["ip.flags.mf == 1", "dns.txt"],
)
def fragmented(lab):
    with lab.recording():
        lab.phone("dig", "+nocookie", "+bufsize=4096", "+ignore", "big.test", "TXT")


@capture(
    "dns/fragmented-ipv6.pcap",
    shows="An answer of 3000 bytes over UDP in IPv6 fragments.",
    tools=["dig", "dnsmasq"],
    silent=QUIET,
    expect=["ipv6.fraghdr.more == 1", "dns.txt"],
)
def fragmented_ipv6(lab):
    with lab.recording():
        lab.phone("dig", "+nocookie", "+bufsize=4096", "+ignore", f"@{GATEWAY_V6}", "big.test", "TXT")
