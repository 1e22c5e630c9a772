"""Client certificates: sent, declined, and missing (group 5.9 of the rules).

The policy that the rules need says that mtls.test expects mutual TLS.
"""

from .catalogue import capture

HOST = "mtls.test"
RULES = ["client-certificate-declined", "client-certificate-missing"]
ASKED = "tls.handshake.type == 13"
SENT = "tls.handshake.type == 11 && tcp.dstport == 443 && tls.handshake.certificate_length > 0"


def serve(lab, verify):
    options = f"ssl_verify_client {verify}; ssl_client_certificate {lab.pki.root}; ssl_verify_depth 3;"
    lab.nginx(lab.https(HOST, options=options))


def client(lab):
    identity = lab.pki.client()
    return ["--cert", identity.chain, "--key", identity.key]


@capture(
    "mutual_tls/sent.pcap",
    shows="The server asks for a client certificate under TLS 1.2, and curl sends one.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=RULES,
    expect=[ASKED, SENT, "tls.handshake.type == 15", "tls.app_data"],
)
def sent(lab):
    serve(lab, "on")
    with lab.recording():
        lab.curl("--tls-max", "1.2", *client(lab), f"https://{HOST}/")


@capture(
    "mutual_tls/declined.pcap",
    shows="The server asks for a client certificate under TLS 1.2 without insisting; curl sends an empty list and goes on.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["client-certificate-declined"],
    expect=[ASKED, "tls.handshake.type == 11 && tcp.dstport == 443", "tls.app_data"],
    forbid=[SENT],
)
def declined(lab):
    serve(lab, "optional")
    with lab.recording():
        lab.curl("--tls-max", "1.2", f"https://{HOST}/")


@capture(
    "mutual_tls/required-missing.pcap",
    shows="openssl s_server insists on a client certificate under TLS 1.2; curl has none and gets an alert.",
    tools=["curl", "openssl s_server", "dnsmasq"],
    fires=["client-certificate-declined"],
    expect=[ASKED, "tls.alert_message.level == 2 && tcp.srcport == 443"],
    forbid=[SENT],
)
def required_missing(lab):
    lab.s_server(HOST, "-tls1_2", "-Verify", "3", "-CAfile", lab.pki.root)
    with lab.recording():
        lab.curl("--tls-max", "1.2", f"https://{HOST}/", fails=True)


@capture(
    "mutual_tls/not-asked.pcap",
    shows="A server that ought to ask for a client certificate does not, under TLS 1.2.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["client-certificate-missing"],
    silent=["client-certificate-declined"],
    expect=["tls.app_data"],
    forbid=[ASKED],
)
def not_asked(lab):
    lab.nginx(lab.https(HOST))
    with lab.recording():
        lab.curl("--tls-max", "1.2", f"https://{HOST}/")


@capture(
    "mutual_tls/sent-tls13.pcap",
    shows="curl sends a client certificate under TLS 1.3: only the lengths of the records tell.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=RULES,
    expect=["tls.handshake.extensions.supported_version == 0x0304 && tls.handshake.type == 2"],
    forbid=[ASKED],
)
def sent_tls13(lab):
    serve(lab, "on")
    with lab.recording():
        lab.curl(*client(lab), f"https://{HOST}/")


@capture(
    "mutual_tls/declined-tls13.pcap",
    shows="The server asks under TLS 1.3 and curl declines: an encrypted record of 25 bytes before its Finished.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["client-certificate-declined"],
    expect=["tls.record.length == 25 && tcp.dstport == 443"],
)
def declined_tls13(lab):
    serve(lab, "optional")
    with lab.recording():
        lab.curl(f"https://{HOST}/")


@capture(
    "mutual_tls/not-asked-tls13.pcap",
    shows="A server that ought to ask for a client certificate does not, under TLS 1.3: a lone Finished.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["client-certificate-missing"],
    silent=["client-certificate-declined"],
    forbid=["tls.record.length == 25 && tcp.dstport == 443"],
    expect=["tls.record.length == 69 && tcp.dstport == 443"],
)
def not_asked_tls13(lab):
    lab.nginx(lab.https(HOST))
    with lab.recording():
        lab.curl(f"https://{HOST}/")
