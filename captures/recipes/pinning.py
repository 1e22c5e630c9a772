"""A server under the tester's authority: who takes it, and who knows another key (group 5.7 of the rules).

Which authority is the tester's is said on the command line (`--test-ca`): the lab's own root plays it.
"""

from .catalogue import Judged, capture

NEAR = ["accepted-self-signed", "accepted-untrusted-chain", "cleartext-http"]


@capture(
    "pinning/taken.pcap",
    shows="curl takes a certificate of the lab's authority for pay.shop.test under TLS 1.2, and asks for a page.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=NEAR,
    judged=[
        Judged(test_ca=True, fires=["accepted-test-ca"]),
        Judged("policies/other-pin.toml", fires=["accepted-unpinned-key"]),
    ],
    expect=["tls.handshake.type == 11", "tls.app_data"],
)
def taken(lab):
    lab.nginx(lab.https("pay.shop.test"))
    with lab.recording():
        lab.curl("--tls-max", "1.2", "https://pay.shop.test/")


@capture(
    "pinning/refused.pcap",
    shows="curl with a pinned key completes the handshake with pay.shop.test under TLS 1.2, and leaves without a request.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=NEAR,
    judged=[
        Judged(test_ca=True, silent=["accepted-test-ca"]),
        Judged("policies/other-pin.toml", silent=["accepted-unpinned-key"]),
        Judged(baseline="pinning/taken.pcap", silent=["server-key-changed"]),
    ],
    expect=["tls.handshake.type == 11", "tls.change_cipher_spec"],
    forbid=["tls.app_data"],
)
def refused(lab):
    lab.nginx(lab.https("pay.shop.test"))
    pin = "sha256//" + "A" * 43 + "="
    with lab.recording():
        lab.curl("--tls-max", "1.2", "--pinnedpubkey", pin, "https://pay.shop.test/", fails=True)


@capture(
    "pinning/other-key.pcap",
    shows="The same as taken.pcap, but pay.shop.test has another certificate with another key.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=NEAR,
    judged=[
        Judged(baseline="pinning/taken.pcap", fires=["server-key-changed"]),
    ],
    expect=["tls.handshake.type == 11", "tls.app_data"],
)
def other_key(lab):
    other = lab.pki.leaf("pay-other-key", ["pay.shop.test"])
    lab.nginx(lab.https("pay.shop.test", other))
    with lab.recording():
        lab.curl("--tls-max", "1.2", "https://pay.shop.test/")
