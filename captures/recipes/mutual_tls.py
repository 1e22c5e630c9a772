"""Client certificates: sent, declined, and missing (group 5.9 of the rules).

The policy that the rules need says that mtls.test expects mutual TLS.
"""

from . import client_flight
from .catalogue import capture
from .network import v4

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


@capture(
    "mutual_tls/required-missing-tls13.pcap",
    shows="The server insists under TLS 1.3; curl declines and gets an encrypted alert.",
    tools=["curl", "openssl s_server", "dnsmasq"],
    fires=["client-certificate-declined"],
    expect=["tls.record.length == 25 && tcp.dstport == 443"],
)
def required_missing_tls13(lab):
    lab.s_server(HOST, "-tls1_3", "-Verify", "3", "-CAfile", lab.pki.root)
    with lab.recording():
        lab.curl(f"https://{HOST}/", fails=True)


def boringssl(name, shows, arguments, expect, forbid=(), **rules):
    """BoringSSL puts the whole flight of the client into one record."""

    @capture(
        f"mutual_tls/{name}.pcap",
        shows=shows,
        tools=["curl_cffi chrome131_android", "nginx", "dnsmasq"],
        expect=["tls.handshake.extensions.supported_version == 0x0304 && tls.handshake.type == 2", *expect],
        forbid=forbid,
        **rules,
    )
    def record(lab):
        serve(lab, "optional")
        script = (
            "import sys; from curl_cffi import requests; "
            f"requests.get('https://{HOST}/', impersonate='chrome131_android', verify=sys.argv[1], timeout=10, "
            "cert=tuple(sys.argv[2:]) or None)"
        )
        with lab.recording():
            lab.python(script, lab.pki.root, *arguments(lab))

    record.__name__ = name.replace("-", "_")


def files(lab):
    identity = lab.pki.client()
    return [identity.chain, identity.key]


boringssl(
    "sent-boringssl",
    "BoringSSL sends a client certificate under TLS 1.3, its whole flight in one record.",
    files,
    ["tcp.dstport == 443 && tls.record.length > 900"],
    silent=RULES,
)
boringssl(
    "declined-boringssl",
    "BoringSSL declines under TLS 1.3: an empty Certificate and its Finished in one record of 61 or 77 bytes.",
    lambda lab: [],
    ["tcp.dstport == 443 && (tls.record.length == 77 || tls.record.length == 61)"],
    fires=["client-certificate-declined"],
)


@capture(
    "mutual_tls/resumed-tls13.pcap",
    shows="A session with a client certificate is resumed: the second handshake shows none, and none is missing.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["client-certificate-declined"],
    expect=["tls.handshake.type == 2 && tls.handshake.extension.type == 41"],
)
def resumed_tls13(lab):
    identity, state = lab.pki.client(), lab.dir / "mutual-session.pem"
    state.unlink(missing_ok=True)
    own = ("-cert", identity.certificate, "-key", identity.key, "-cert_chain", identity.chain)
    lab.s_server(HOST, "-tls1_3", "-Verify", "3", "-CAfile", lab.pki.root)
    with lab.recording():
        lab.s_client(HOST, "-tls1_3", *own, "-sess_out", state)
        lab.s_client(HOST, "-tls1_3", *own, "-sess_in", state)


@capture(
    "mutual_tls/hello-retry.pcap",
    shows="A client certificate under TLS 1.3 after a HelloRetryRequest.",
    tools=["curl", "openssl s_server", "dnsmasq"],
    silent=RULES,
    expect=["tls.handshake.type == 1 && tcp.dstport == 443"],
)
def hello_retry(lab):
    lab.s_server(HOST, "-tls1_3", "-Verify", "3", "-CAfile", lab.pki.root, "-groups", "P-521")
    with lab.recording():
        lab.curl(*client(lab), "--curves", "X25519:P-521", f"https://{HOST}/")


# Host: how s_server and s_client resume there, and whether the client sends a certificate.
RESUMPTIONS = {
    "shop.test": (["-tls1_2"], True),
    "chat.test": (["-tls1_2", "-no_ticket"], False),
    "news.test": (["-tls1_3"], True),
}


def handshakes(lab, save=False, resume=False):
    identity = lab.pki.client()
    own = ["-cert", identity.certificate, "-key", identity.key, "-cert_chain", identity.chain]
    for host, (options, sends) in RESUMPTIONS.items():
        state = lab.dir / f"session-{host}.pem"
        words = [*(["-sess_out", state] if save else []), *(["-sess_in", state] if resume else [])]
        lab.s_client(host, *options, *(own if sends else []), *words, wait=0.2)


def may_resume(lab):
    for host, (options, _) in RESUMPTIONS.items():
        lab.s_server(host, *options, "-verify", "3", "-CAfile", lab.pki.root)


@capture(
    "mutual_tls/resumable.pcap",
    shows="Full handshakes with three servers that ask: a certificate under TLS 1.2, none under TLS 1.2, one under TLS 1.3.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["client-certificate-declined"],
    expect=[ASKED, SENT],
    forbid=["tls.handshake.extension.type == 41"],
)
def resumable(lab):
    may_resume(lab)
    with lab.recording():
        handshakes(lab)


@capture(
    "mutual_tls/resumed-elsewhere.pcap",
    shows="Sessions with the same three servers are resumed, by ticket, session id and PSK: the full handshakes are in no frame.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["client-certificate-declined"],
    expect=["tls.handshake.type == 2 && tls.handshake.extension.type == 41"],
    forbid=[ASKED, "tls.handshake.type == 11"],
)
def resumed_elsewhere(lab):
    may_resume(lab)
    handshakes(lab, save=True)
    with lab.recording():
        handshakes(lab, resume=True)


@capture(
    "mutual_tls/stacks-tls12.pcap",
    shows="NSS and Chromium under TLS 1.2: each sends a certificate, RSA and EC, then none where it is asked.",
    tools=["tstclnt", "chromium", "nginx"],
    fires=["client-certificate-declined"],
    expect=[ASKED, SENT],
    forbid=["tls.handshake.extensions.supported_version == 0x0304 && tls.handshake.type == 2"],
)
def stacks_tls12(lab):
    leaf, rsa = lab.pki.client(), lab.pki.client("rsa", key="rsa2048")
    client_flight.choose(lab, client_flight.SENT)
    page = "return 200 '<!doctype html><link rel=icon href=data:,>';"
    asks = f"ssl_verify_client optional; ssl_client_certificate {lab.pki.root}; ssl_verify_depth 3;"
    options = f"ssl_session_tickets off; ssl_session_cache off; keepalive_timeout 0; {asks}"
    hosts = [client_flight.SENT, client_flight.DECLINED]
    own = client_flight.identity(lab)
    lab.nginx(*(lab.https(host, own, options=options, protocols="TLSv1.2", body=page) for host in hosts))
    resolved = ",".join(f"MAP {host} {v4(host)}" for host in hosts)
    words = [f"--host-resolver-rules={resolved},MAP * ^NOTFOUND"]
    home = lab.dir / "home-tls12"
    (home / ".pki").mkdir(parents=True)
    client_flight.nss_database(lab, "tls12", leaf).rename(home / ".pki/nssdb")
    only = ["-V", "tls1.2:tls1.2"]
    with lab.recording(packets="tcp port 443"):
        client_flight.tstclnt(lab, hosts[0], client_flight.nss_database(lab, "tls12-rsa", rsa), "-n", "own", *only)
        client_flight.tstclnt(lab, hosts[1], client_flight.nss_database(lab, "tls12-none"), *only)
        lab.chromium(f"https://{hosts[0]}/", *words, home=home)
        lab.chromium(f"https://{hosts[1]}/", *words, home=lab.dir)
    client_flight.keep_one_broken_off(lab)
