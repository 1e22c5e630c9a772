"""HTTP/2 without TLS: by prior knowledge (group 5.1 of the rules)."""

from .catalogue import capture
from .network import v4

QUIET = ["cleartext-credentials", "cleartext-secret-in-url", "cleartext-unknown", "cleartext-websocket"]


def clear(file, shows, *command, expect, fires=(), client="nghttp"):
    """One client's command against nghttpd without TLS; its rules come on top of `cleartext-http`."""

    @capture(
        f"http2/{file}.pcap",
        shows=shows,
        tools=[client, "nghttpd", "dnsmasq"],
        fires=["cleartext-http", *fires],
        silent=[rule for rule in QUIET if rule not in fires],
        expect=["http2.streamid == 0 && http2.type == 4", *expect],
    )
    def record(lab):
        (lab.dir / "index.html").write_text("ok\n")
        lab.serve("nghttpd", "--no-tls", "-a", v4("shop.test"), "-d", lab.dir, "80", port=80)
        with lab.recording():
            lab.curl(*command) if client == "curl" else lab.phone("nghttp", "-v", *command)

    record.__name__ = file.replace("-", "_")


clear(
    "prior-knowledge",
    "nghttp fetches two pages over one connection of HTTP/2 without TLS; nothing secret is in it.",
    "http://shop.test/index.html",
    "http://shop.test/missing",
    expect=['http2.headers.path == "/missing"', "http2.headers.status == 404"],
)
clear(
    "curl-credentials",
    "curl sends a password, a cookie and a token in the query over HTTP/2 without TLS.",
    "--http2-prior-knowledge",
    "-u",
    "alice:open-sesame",
    "-b",
    "session=4711",
    "http://shop.test/index.html?access_token=4711",
    client="curl",
    fires=["cleartext-credentials", "cleartext-secret-in-url"],
    expect=["http2.headers.authorization", "http2.headers.cookie"],
)
