"""An app whose way to TLS is blocked (group 5.6 of the rules)."""

from .catalogue import capture

RULE = "cleartext-after-network-loss"
OTHERS = ["tls-failure-then-cleartext", "version-downgrade-retry"]


@capture(
    "offline/blocked-then-cleartext.pcap",
    shows="Port 443 of shop.test does not answer: curl gives up after a second and fetches the page without TLS.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", RULE],
    silent=[*OTHERS, "mixed-protection-host"],
    expect=["tcp.dstport == 443 && tcp.flags.syn == 1", "http.host == shop.test"],
    forbid=["tls"],
    lossy=True,
)
def blocked_then_cleartext(lab):
    lab.nginx(lab.plain_http("shop.test"))
    with lab.recording(), lab.dropping(443):
        lab.curl("-4", "-m", "2", "https://shop.test/", fails=True)
        lab.curl("-4", "http://shop.test/")


@capture(
    "offline/blocked-then-tls.pcap",
    shows="Port 443 of shop.test does not answer at first; then TLS succeeds, and a page without it follows.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "mixed-protection-host"],
    silent=[RULE, *OTHERS],
    expect=["tls.handshake.extensions_server_name == shop.test", "http.host == shop.test"],
    lossy=True,
)
def blocked_then_tls(lab):
    lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test"))
    with lab.recording():
        with lab.dropping(443):
            lab.curl("-4", "-m", "2", "https://shop.test/", fails=True)
        lab.curl("-4", "https://shop.test/")
        lab.curl("-4", "http://shop.test/")


@capture(
    "offline/blocked-then-other-host.pcap",
    shows="Port 443 of shop.test does not answer; then curl fetches http://news.test/, which has nothing to do with it.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=[RULE, *OTHERS],
    expect=["tcp.dstport == 443 && tcp.flags.syn == 1", "http.host == news.test"],
    lossy=True,
)
def blocked_then_other_host(lab):
    lab.nginx(lab.plain_http("news.test"))
    with lab.recording(), lab.dropping(443):
        lab.curl("-4", "-m", "2", "https://shop.test/", fails=True)
        lab.curl("-4", "http://news.test/")
