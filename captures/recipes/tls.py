"""TLS: versions, ciphers and groups as real stacks negotiate them (group 5.2 of the rules)."""

from .catalogue import capture

TLS13 = "tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304"
TLS12 = "tls.handshake.type == 2 && tls.handshake.version == 0x0303"
SOUND = [
    "cleartext-http",
    "cleartext-unknown",
    "missing-sni",
    "no-extended-master-secret",
    "non-tls-encryption",
    "null-or-anonymous-cipher",
    "tls-version-negotiated",
    "weak-cipher-negotiated",
    "weak-group",
    "weak-signature",
]


@capture(
    "tls/tls13-good.pcap",
    shows="curl looks up shop.test and fetches https://shop.test/ over TLS 1.3: nothing is wrong with it.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=SOUND,
    expect=[TLS13, "dns.qry.name == shop.test"],
)
def tls13_good(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("https://shop.test/")


@capture(
    "tls/tls12-good.pcap",
    shows="curl fetches https://shop.test/ over TLS 1.2 with ECDHE and AES-GCM; the certificate is readable and good.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=SOUND
    + ["accepted-expired", "accepted-name-mismatch", "accepted-self-signed", "accepted-untrusted-chain"]
    + ["accepted-weak-certificate", "insecure-renegotiation", "tls-compression", "version-downgrade-retry"],
    expect=[TLS12, "tls.handshake.type == 11"],
)
def tls12_good(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", "https://shop.test/")
