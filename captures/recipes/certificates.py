"""Servers with bad certificates, clients that go on and clients that refuse (group 5.5 of the rules).

Each case comes three times: `-accepted` under TLS 1.2, where the chain can be read and the client sends its request
all the same; `-rejected`, where a checking client answers with an alert; and `-accepted-tls13`, where the chain is
encrypted and nothing can be said about it.
"""

import time

from .catalogue import capture
from .network import NET

RULES = [
    "accepted-expired",
    "accepted-name-mismatch",
    "accepted-self-signed",
    "accepted-untrusted-chain",
    "accepted-weak-certificate",
]


def identity(lab, case):
    """The bad identity of one case."""
    weak = {"rsa1024": {"key": "rsa1024"}, "sha1": {"key": "rsa2048", "digest": "sha1"}}
    return {
        "self-signed": lambda: lab.pki.leaf("self-signed", ["self-signed.test"], self_signed=True),
        "untrusted": lambda: lab.pki.leaf("untrusted", ["untrusted.test"], issuer="stranger"),
        "expired": lambda: lab.pki.leaf(
            "expired", ["expired.test"], start="20240101000000Z", end="20250101000000Z"
        ),
        "not-yet": lambda: lab.pki.leaf(
            "not-yet", ["not-yet.test"], start="20400101000000Z", end="20410101000000Z"
        ),
        "wrong-name": lambda: lab.pki.leaf("wrong-name", ["someone-else.test"]),
        "no-chain": lambda: lab.pki.leaf("no-chain", ["no-chain.test"], send_chain=False),
        "rsa1024": lambda: lab.pki.leaf("rsa1024", ["rsa1024.test"], **weak["rsa1024"]),
        "sha1": lambda: lab.pki.leaf("sha1", ["sha1.test"], **weak["sha1"]),
    }[case]()


def utc(seconds):
    """A time so many seconds from now, as certificates write it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def serve(lab, case):
    host = f"{case}.test"
    lab.nginx(lab.https(host, identity(lab, case), options='ssl_ciphers "ECDHE+AESGCM:@SECLEVEL=0";'))
    return f"https://{host}/"


def declare(case, rule, accepted, rejected):
    """The three captures of one kind of bad certificate."""
    near = [other for other in RULES if other != rule]
    if case == "self-signed":
        near.remove("accepted-untrusted-chain")
    # OpenSSL below security level 1 is what takes a 1024-bit key or a SHA-1 signature.
    lax = ["--ciphers", "ECDHE+AESGCM:@SECLEVEL=0"] if case in ("rsa1024", "sha1") else []
    fires = {"fires": [rule]} if rule else {}

    @capture(
        f"certificates/{case}-accepted.pcap",
        shows=accepted,
        tools=["curl", "nginx", "dnsmasq"],
        silent=near,
        expect=["tls.handshake.type == 11", "tls.app_data"],
        **fires,
    )
    def accept(lab):
        url = serve(lab, case)
        # A weak certificate is good in all other ways: it is taken by a client that does check.
        careless = [] if lax else ["-k"]
        with lab.recording():
            lab.curl(*careless, "--tls-max", "1.2", *lax, url)

    @capture(
        f"certificates/{case}-rejected.pcap",
        shows=rejected,
        tools=["curl", "nginx", "dnsmasq"],
        silent=RULES,
        expect=["tls.handshake.type == 11", "tls.alert_message.level == 2"],
        forbid=["tls.app_data"],
    )
    def reject(lab):
        url = serve(lab, case)
        with lab.recording():
            lab.curl("--tls-max", "1.2", url, fails=True)

    accept.__name__ = f"{case}_accepted".replace("-", "_")
    reject.__name__ = f"{case}_rejected".replace("-", "_")


@capture(
    "certificates/self-signed-on-the-device.pcap",
    shows="curl -k takes a self-signed certificate from a server on its own device: nobody stands between them.",
    tools=["curl", "nginx"],
    silent=[*RULES, "missing-sni", "no-extended-master-secret"],
    expect=["ip.dst == 127.0.0.1 && tls.handshake.type == 1", "tls.handshake.type == 11", "tls.app_data"],
)
def self_signed_on_the_device(lab):
    host = "self-signed.test"
    lab.nginx(lab.https(host, identity(lab, "self-signed"), options="listen 127.0.0.1:443 ssl;"))
    with lab.recording("lo", namespace=NET):
        arguments = ["-k", "--tls-max", "1.2", "--resolve", f"{host}:443:127.0.0.1", f"https://{host}/"]
        lab.exec(NET, "curl", "-sS", *arguments, check=True)


declare(
    "self-signed",
    "accepted-self-signed",
    "curl -k takes a self-signed certificate under TLS 1.2 and sends its request.",
    "curl meets a self-signed certificate under TLS 1.2 and ends the handshake with an alert.",
)
declare(
    "untrusted",
    "accepted-untrusted-chain",
    "curl -k takes a certificate from an unknown authority under TLS 1.2 and sends its request.",
    "curl meets a certificate from an unknown authority under TLS 1.2 and ends the handshake with an alert.",
)
declare(
    "expired",
    "accepted-expired",
    "curl -k takes a certificate that ended on 2025-01-01 under TLS 1.2 and sends its request.",
    "curl meets an expired certificate under TLS 1.2 and ends the handshake with an alert.",
)
declare(
    "not-yet",
    "accepted-expired",
    "curl -k takes a certificate that starts in 2040 under TLS 1.2 and sends its request.",
    "curl meets a certificate that is not yet valid under TLS 1.2 and ends the handshake with an alert.",
)
declare(
    "rsa1024",
    "accepted-weak-certificate",
    "curl at OpenSSL's security level 0 takes a certificate with a 1024-bit RSA key and sends its request.",
    "curl at OpenSSL's normal security level refuses a certificate with a 1024-bit RSA key with an alert.",
)
declare(
    "sha1",
    "accepted-weak-certificate",
    "curl at OpenSSL's security level 0 takes a certificate that is signed with SHA-1 and sends its request.",
    "curl at OpenSSL's normal security level refuses a certificate that is signed with SHA-1 with an alert.",
)


@capture(
    "certificates/wrong-name-accepted.pcap",
    shows="curl -k asks for wrong-name.test, is shown someone-else.test's certificate under TLS 1.2, and goes on.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["accepted-name-mismatch"],
    silent=[rule for rule in RULES if rule != "accepted-name-mismatch"],
    expect=["tls.handshake.type == 11", "tls.app_data"],
)
def wrong_name_accepted(lab):
    url = serve(lab, "wrong-name")
    with lab.recording():
        lab.curl("-k", "--tls-max", "1.2", url)


@capture(
    "certificates/wrong-name-rejected.pcap",
    shows="curl is shown someone-else.test's certificate under TLS 1.2: it ends the handshake, then compares names and leaves without a request.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=RULES,
    expect=["tls.handshake.type == 11"],
    forbid=["tls.app_data"],
)
def wrong_name_rejected(lab):
    url = serve(lab, "wrong-name")
    with lab.recording():
        lab.curl("--tls-max", "1.2", url, fails=True)


@capture(
    "certificates/wrong-name-rejected-alert.pcap",
    shows="openssl s_client checks the name while it verifies: someone-else.test's certificate is answered with an alert.",
    tools=["openssl s_client", "nginx"],
    silent=RULES,
    expect=["tls.handshake.type == 11", "tls.alert_message.level == 2"],
    forbid=["tls.app_data"],
)
def wrong_name_rejected_alert(lab):
    serve(lab, "wrong-name")
    with lab.recording():
        lab.s_client(
            "wrong-name.test",
            "-tls1_2",
            "-verify_hostname",
            "wrong-name.test",
            "-verify_return_error",
            fails=True,
        )


@capture(
    "certificates/no-chain-accepted.pcap",
    shows="curl -k takes a good leaf whose server forgets to send the intermediate certificate.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=[
        "accepted-expired",
        "accepted-name-mismatch",
        "accepted-self-signed",
        "accepted-weak-certificate",
    ],
    expect=["tls.handshake.type == 11", "tls.app_data"],
)
def no_chain_accepted(lab):
    url = serve(lab, "no-chain")
    with lab.recording():
        lab.curl("-k", "--tls-max", "1.2", url)


@capture(
    "certificates/self-signed-accepted-tls13.pcap",
    shows="curl -k takes a self-signed certificate under TLS 1.3, which hides it: nothing can be claimed.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=RULES,
    expect=["tls.handshake.extensions.supported_version == 0x0304 && tls.handshake.type == 2"],
    forbid=["tls.handshake.type == 11"],
)
def self_signed_accepted_tls13(lab):
    url = serve(lab, "self-signed")
    with lab.recording():
        lab.curl("-k", url)


@capture(
    "certificates/self-signed-rejected-tls13.pcap",
    shows="curl refuses a self-signed certificate under TLS 1.3; OpenSSL sends its alert in the clear.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=RULES,
    expect=["tls.alert_message.level == 2"],
)
def self_signed_rejected_tls13(lab):
    url = serve(lab, "self-signed")
    with lab.recording():
        lab.curl(url, fails=True)


@capture(
    "certificates/handshake-only.pcap",
    shows="openssl s_client completes a TLS 1.2 handshake with a self-signed server, sends nothing and leaves.",
    tools=["openssl s_client", "nginx"],
    silent=RULES,
    expect=["tls.handshake.type == 11"],
    forbid=["tls.app_data"],
)
def handshake_only(lab):
    serve(lab, "self-signed")
    with lab.recording():
        lab.s_client("self-signed.test", "-tls1_2", request=None)


def hidden(case, shows):
    """A bad certificate that is accepted under TLS 1.3, where nobody but the two ends can see it."""

    @capture(
        f"certificates/{case}-accepted-tls13.pcap",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        silent=RULES,
        expect=[
            "tls.handshake.extensions.supported_version == 0x0304 && tls.handshake.type == 2",
            "tls.app_data",
        ],
        forbid=["tls.handshake.type == 11"],
    )
    def record(lab):
        url = serve(lab, case)
        with lab.recording():
            lab.curl("-k", url)

    record.__name__ = f"{case}_accepted_tls13".replace("-", "_")


hidden("untrusted", "curl -k takes a certificate from an unknown authority under TLS 1.3, which hides it.")
hidden("expired", "curl -k takes an expired certificate under TLS 1.3, which hides it.")
hidden("wrong-name", "curl -k takes another host's certificate under TLS 1.3, which hides it.")


def good(case, host, shows, identity, fires=(), careless=False):
    """A certificate that looks odd under TLS 1.2, and what a checking client makes of it."""

    @capture(
        f"certificates/{case}.pcap",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=["tls.handshake.type == 11", "tls.app_data"],
    )
    def record(lab):
        lab.nginx(lab.https(host, identity(lab)))
        with lab.recording():
            lab.curl(*(["-k"] if careless else []), "--tls-max", "1.2", f"https://{host}/")

    record.__name__ = case.replace("-", "_")


good(
    "wildcard",
    "api.shop.test",
    "A certificate for *.shop.test serves api.shop.test.",
    lambda lab: lab.pki.leaf("wildcard", ["*.shop.test"]),
)
good(
    "wildcard-too-deep-accepted",
    "a.img.shop.test",
    "curl -k takes a certificate for *.shop.test from a.img.shop.test, one label too deep.",
    lambda lab: lab.pki.leaf("wildcard", ["*.shop.test"]),
    fires=["accepted-name-mismatch"],
    careless=True,
)
good(
    "many-names",
    "news.test",
    "A certificate for forty names, of which news.test is the last.",
    lambda lab: lab.pki.leaf("many", [f"site-{n}.test" for n in range(39)] + ["news.test"]),
)
good(
    "upper-case-name",
    "news.test",
    "A certificate for NEWS.TEST serves news.test: names have no case.",
    lambda lab: lab.pki.leaf("upper", ["NEWS.TEST"]),
)
good(
    "ends-soon",
    "news.test",
    "A certificate that ends in an hour is still good.",
    lambda lab: lab.pki.leaf(f"soon-{time.time_ns()}", ["news.test"], end=utc(3600)),
)
good(
    "p384",
    "news.test",
    "A certificate with a key on P-384.",
    lambda lab: lab.pki.server("news.test", key="secp384r1"),
)
good(
    "rsa2048",
    "news.test",
    "A certificate with an RSA key of 2048 bits.",
    lambda lab: lab.pki.server("news.test", key="rsa2048"),
)
good(
    "common-name-only-accepted",
    "news.test",
    "curl -k takes a certificate that names news.test as its subject's common name and nowhere else.",
    lambda lab: lab.pki.leaf("news.test", []),
    fires=["accepted-name-mismatch"],
    careless=True,
)


@capture(
    "certificates/two-faults-accepted.pcap",
    shows="curl -k takes a certificate that is self-signed, expired and for another name.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["accepted-expired", "accepted-name-mismatch", "accepted-self-signed"],
    silent=["accepted-weak-certificate"],
    expect=["tls.handshake.type == 11", "tls.app_data"],
)
def two_faults_accepted(lab):
    bad = lab.pki.leaf(
        "two-faults", ["elsewhere.test"], self_signed=True, start="20240101000000Z", end="20250101000000Z"
    )
    lab.nginx(lab.https("news.test", bad))
    with lab.recording():
        lab.curl("-k", "--tls-max", "1.2", "https://news.test/")


@capture(
    "certificates/accepted-then-resumed.pcap",
    shows="openssl s_client goes on with a self-signed server, and resumes the session without a certificate.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["accepted-self-signed"],
    silent=["accepted-expired", "accepted-name-mismatch", "accepted-weak-certificate"],
    expect=["tls.handshake.type == 11", "tls.handshake.type == 2 && tls.record.content_type == 20"],
)
def accepted_then_resumed(lab):
    state = lab.dir / "bad-session.pem"
    state.unlink(missing_ok=True)
    lab.s_server("self-signed.test", "-tls1_2", identity=identity(lab, "self-signed"))
    with lab.recording():
        lab.s_client("self-signed.test", "-tls1_2", "-sess_out", state)
        lab.s_client("self-signed.test", "-tls1_2", "-sess_in", state)
