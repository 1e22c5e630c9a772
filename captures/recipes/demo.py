"""The capture that the README's first command analyzes: a minute of a phone with four apps."""

import time

from . import capfile, dialects
from .catalogue import capture

SHOP, CHAT, WEATHER, NEWS = 10123, 10145, 10160, 10188
NETD, NETWORK_STACK = 1051, 1073
APPS = {
    SHOP: ("com.example.shop", "Shop"),
    CHAT: ("com.example.chat", "Chat"),
    WEATHER: ("com.example.weather", "Weather"),
    NEWS: ("com.example.news", "News"),
    NETD: ("netd", "netd"),
    NETWORK_STACK: ("com.android.networkstack", "Network manager"),
}
PROBE = "connectivitycheck.gstatic.com"

CHROME = """
import sys
from curl_cffi import requests
with requests.Session(impersonate="chrome131_android", verify=sys.argv[1]) as session:
    for url in sys.argv[2:]:
        session.get(url, timeout=10)
"""
NODE = """
const https = require("https"), fs = require("fs");
const agent = new https.Agent({
    keepAlive: true,
    ca: fs.readFileSync(process.argv[1]),
    ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:ECDHE+AESGCM",
});
https.get({ host: "news.test", path: "/front", agent }, (response) => {
    response.resume().on("end", () => agent.destroy());
});
"""


def serve(lab):
    """The servers that the four apps talk to."""
    (lab.dir / "www").mkdir(exist_ok=True)
    (lab.dir / "www" / "banner").write_bytes(bytes(range(256)) * 48)
    lab.nginx(
        lab.https("shop.test"),
        lab.https("img.shop.test", body=f"root {lab.dir}/www;"),
        lab.https("api.shop.test"),
        lab.plain_http("api.shop.test", body="return 200 '{\"items\":[]}\\n';"),
        lab.https("chat.test"),
        lab.https("sync.chat.test", lab.pki.leaf("sync", ["sync.chat.test"], self_signed=True)),
        lab.https("weather.test", protocols="TLSv1", options='ssl_ciphers "ALL:@SECLEVEL=0";'),
        lab.https("news.test"),
        lab.plain_http(PROBE, body="return 204;"),
    )


def session(lab):
    """What the phone does, app by app."""
    root = lab.pki.root
    steps = (
        lambda: lab.curl(
            "-A", "Mozilla/5.0 (X11; Linux x86_64)", f"http://{PROBE}/generate_204", uid=NETWORK_STACK
        ),
        lambda: lab.python(CHROME, root, "https://shop.test/", "https://img.shop.test/banner", uid=SHOP),
        lambda: lab.curl(
            "-A", "okhttp/4.12.0", "-d", "user=alice", "https://api.shop.test/v1/login", uid=SHOP
        ),
        lambda: lab.curl(
            "-A", "okhttp/4.12.0", "http://api.shop.test/v1/cart?access_token=9f86d081884c7d65", uid=SHOP
        ),
        lambda: lab.curl("-6", "https://chat.test/messages", uid=CHAT),
        lambda: lab.curl("-k", "--tls-max", "1.2", "-d", "contacts=42", "https://sync.chat.test/", uid=CHAT),
        lambda: lab.curl(
            "--tlsv1.0",
            "--tls-max",
            "1.0",
            "--ciphers",
            "DEFAULT:@SECLEVEL=0",
            "https://weather.test/today",
            uid=WEATHER,
        ),
        lambda: lab.phone("node", "-e", NODE, root, uid=NEWS),
    )
    for step in steps:
        step()
        time.sleep(0.5)


@capture(
    "demo.pcapng",
    shows="A phone with four apps, as PCAPdroid writes it: Shop sends a token in the clear, Chat takes a self-signed "
    "certificate, Weather speaks TLS 1.0, News does nothing wrong.",
    tools=["curl", "curl_cffi chrome131_android", "node", "nginx", "dnsmasq", "netfilter log"],
    how="converted",
    fires=[
        "accepted-self-signed",
        "cleartext-http",
        "cleartext-secret-in-url",
        "mixed-protection-host",
        "tls-version-negotiated",
        "weak-cipher-negotiated",
    ],
    silent=["accepted-expired", "cleartext-unknown", "non-tls-encryption", "version-downgrade-retry"],
    expect=[
        'frame.comment == "u-10123" && http.request.uri contains "access_token"',
        'frame.comment == "u-10145" && tls.handshake.type == 11',
        'frame.comment == "u-10160" && tls.handshake.version == 0x0301 && tls.handshake.type == 2',
        'frame.comment == "u-10188" && tls.handshake.extensions_server_name == "news.test"',
        'frame.comment == "u-1051" && dns',
        'frame.comment == "u-1073" && http',
    ],
    forbid=['frame.comment == "u--1"'],
)
def demo(lab):
    serve(lab)
    with (
        lab.android_resolver(NETD),
        lab.owners() as log,
        lab.recording(file=lab.temporary("wire.pcap")) as wire,
    ):
        session(lab)
    packets = dialects.without_ethernet(capfile.read(wire))
    ownership = dialects.Ownership(dialects.owners_of(capfile.read(log)))
    lab.out.write_bytes(dialects.pcapdroid_pcapng(packets, ownership, APPS))
