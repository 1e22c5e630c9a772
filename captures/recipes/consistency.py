"""The same app, protected here and not there (group 5.4 of the rules)."""

from .catalogue import Judged, capture
from .network import v4

RULES = [
    "cleartext-first-then-redirect",
    "cleartext-on-tls-port",
    "mixed-protection-host",
    "redirect-to-cleartext",
    "tls-failure-then-cleartext",
    "version-downgrade-retry",
]


def near(*fires):
    return [rule for rule in RULES if rule not in fires]


@capture(
    "consistency/mixed-host.pcap",
    shows="curl fetches https://shop.test/ and, a moment later, http://shop.test/banner.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "mixed-protection-host"],
    silent=near("mixed-protection-host"),
    judged=[Judged("policies/mutual-tls.toml", silent=["client-certificate-cleartext-only"])],
    expect=["tls.handshake.extensions_server_name == shop.test", "http.host == shop.test"],
)
def mixed_host(lab):
    lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test"))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.curl("http://shop.test/banner")


@capture(
    "consistency/two-hosts.pcap",
    shows="curl fetches https://shop.test/ and http://news.test/: one host each.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=RULES,
    expect=["tls.handshake.extensions_server_name == shop.test", "http.host == news.test"],
)
def two_hosts(lab):
    lab.nginx(lab.https("shop.test"), lab.plain_http("news.test"))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.curl("http://news.test/")


@capture(
    "consistency/cleartext-on-443.pcap",
    shows="curl speaks HTTP in the clear to port 443, and the server answers.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "cleartext-on-tls-port"],
    silent=near("cleartext-on-tls-port"),
    expect=["tcp.dstport == 443 && http.request"],
)
def cleartext_on_443(lab):
    lab.nginx(lab.plain_http("shop.test", port=443))
    with lab.recording():
        lab.curl("http://shop.test:443/")


@capture(
    "consistency/cleartext-to-tls-server.pcap",
    shows="curl speaks HTTP in the clear to a TLS server on port 443, which answers 400.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "cleartext-on-tls-port"],
    silent=near("cleartext-on-tls-port"),
    expect=["tcp.srcport == 443 && http.response.code == 400"],
)
def cleartext_to_tls_server(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("http://shop.test:443/")


@capture(
    "consistency/failure-then-cleartext.pcap",
    shows="curl refuses shop.test's self-signed certificate and then fetches the same page without TLS.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "tls-failure-then-cleartext"],
    silent=["accepted-self-signed", "version-downgrade-retry", "cleartext-on-tls-port"],
    expect=["tls.alert_message.level == 2", "http.host == shop.test"],
)
def failure_then_cleartext(lab):
    bad = lab.pki.leaf("shop-self-signed", ["shop.test"], self_signed=True)
    lab.nginx(lab.https("shop.test", bad), lab.plain_http("shop.test"))
    with lab.recording():
        lab.curl("https://shop.test/", fails=True)
        lab.curl("http://shop.test/")


@capture(
    "consistency/refused-then-cleartext.pcap",
    shows="Nobody listens on shop.test's port 443: curl's connection is reset, and it goes on without TLS.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-after-network-loss", "cleartext-http"],
    silent=["mixed-protection-host", "version-downgrade-retry", "cleartext-on-tls-port"],
    expect=["tcp.flags.reset == 1 && tcp.srcport == 443", "http.host == shop.test"],
)
def refused_then_cleartext(lab):
    lab.nginx(lab.plain_http("shop.test"))
    with lab.recording():
        lab.curl("https://shop.test/", fails=True)
        lab.curl("http://shop.test/")


@capture(
    "consistency/failure-then-other-host.pcap",
    shows="curl refuses shop.test's certificate and then fetches http://news.test/, which has nothing to do with it.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=RULES,
    expect=["tls.alert_message.level == 2", "http.host == news.test"],
)
def failure_then_other_host(lab):
    bad = lab.pki.leaf("shop-self-signed", ["shop.test"], self_signed=True)
    lab.nginx(lab.https("shop.test", bad), lab.plain_http("news.test"))
    with lab.recording():
        lab.curl("https://shop.test/", fails=True)
        lab.curl("http://news.test/")


@capture(
    "consistency/failure-then-neighbour.pcap",
    shows="curl refuses one.test's certificate and then fetches http://two.test/, whose address is the same and no more.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=RULES,
    expect=["tls.alert_message.level == 2", "http.host == two.test"],
)
def failure_then_neighbour(lab):
    bad = lab.pki.leaf("one-self-signed", ["one.test"], self_signed=True)
    lab.nginx(lab.https("shop.test", bad), lab.plain_http("shop.test"))
    with lab.recording():
        lab.curl("https://one.test/", fails=True)
        lab.curl("http://two.test/")


@capture(
    "consistency/revocation.pcap",
    shows="curl fetches https://shop.test/; its certificate's status and a revocation list come from http://shop.test/.",
    tools=["curl", "openssl ocsp", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=[*RULES, "mixed-protection-domain"],
    expect=["tls.handshake.extensions_server_name == shop.test", "ocsp", 'http.content_type == "application/pkix-crl"'],
)
def revocation(lab):
    own, directory = lab.pki.server("shop.test"), lab.pki.dir
    issuer, key = directory / "intermediate.pem", directory / "intermediate.key"
    revoked = lab.dir / "list.crl"
    command = ["openssl", "ca", "-gencrl", "-config", directory / "openssl.cnf", "-crldays", "7", "-md", "sha256"]
    lab.run(*command, "-cert", issuer, "-keyfile", key, "-out", revoked)
    crl = f"location /list.crl {{ types {{ application/pkix-crl crl; }} alias {revoked}; }}"
    status = f"location /status {{ proxy_pass http://{v4('shop.test')}:8080/; }}"
    lab.serve(
        *["openssl", "ocsp", "-port", 8080, "-index", directory / "index.txt", "-CA", issuer],
        *["-rsigner", issuer, "-rkey", key, "-ndays", 7],
        port=8080,
    )
    lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test", options=f"{crl} {status}"))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.phone(
            *["openssl", "ocsp", "-issuer", issuer, "-cert", own.certificate, "-CAfile", lab.pki.root],
            *["-url", "http://shop.test/status"],
        )
        lab.curl("http://shop.test/list.crl")


def signed_list(lab):
    """A revocation list, and its place in a server."""
    issuer, directory = lab.pki.dir / "intermediate", lab.pki.dir
    revoked = lab.dir / "list.crl"
    command = ["openssl", "ca", "-gencrl", "-config", directory / "openssl.cnf", "-crldays", "7", "-md", "sha256"]
    lab.run(*command, "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-out", revoked)
    return f"location /list.crl {{ if_modified_since before; alias {revoked}; }}"


def asks_again(lab, *options):
    """curl fetches a page over TLS, and asks whether a revocation list that it has is still the last one."""
    lab.nginx(lab.https("shop.test"), lab.plain_http("shop.test", options=signed_list(lab)))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.curl("--header", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", *options, "http://shop.test/list.crl")


@capture(
    "consistency/revocation-not-modified.pcap",
    shows="curl asks http://shop.test/ for a revocation list that has not changed: the answer has no media type.",
    tools=["curl", "openssl ca", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=[*RULES, "mixed-protection-domain"],
    expect=['http.request.uri == "/list.crl"', "http.response.code == 304"],
    forbid=["http.content_type"],
)
def revocation_not_modified(lab):
    asks_again(lab)


@capture(
    "consistency/revocation-cookie.pcap",
    shows="curl asks http://shop.test/ for a revocation list and sends a cookie with it: a request like any other.",
    tools=["curl", "openssl ca", "nginx", "dnsmasq"],
    fires=["cleartext-http", "mixed-protection-host"],
    silent=[rule for rule in RULES if rule != "mixed-protection-host"],
    expect=['http.request.uri == "/list.crl"', "http.cookie", "http.response.code == 304"],
)
def revocation_cookie(lab):
    asks_again(lab, "--cookie", "device=4711")


@capture(
    "consistency/failure-then-tls.pcap",
    shows="curl refuses shop.test's certificate, tries again with the right root, and succeeds.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=[*RULES, "cleartext-http"],
    expect=["tls.alert_message.level == 2", "tls.app_data"],
)
def failure_then_tls(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.phone("curl", "-sS", "--tlsv1.2", "https://shop.test/", fails=True)
        lab.curl("https://shop.test/")


def old_server(lab):
    """A server that speaks TLS 1.0 and nothing else."""
    options = 'ssl_ciphers "ALL:COMPLEMENTOFALL:@SECLEVEL=0";'
    lab.nginx(lab.https("legacy.test", protocols="TLSv1", options=options))


OLD = ("-tls1", "-cipher", "DEFAULT:@SECLEVEL=0")


@capture(
    "consistency/downgrade-scsv.pcap",
    shows="openssl s_client fails with TLS 1.2 and tries again with TLS 1.0 and TLS_FALLBACK_SCSV.",
    tools=["openssl s_client", "nginx"],
    fires=["tls-version-negotiated", "version-downgrade-retry"],
    silent=["tls-failure-then-cleartext", "cleartext-http"],
    expect=["tls.alert_message.desc == 70", "tls.handshake.ciphersuite == 0x5600", "tls.app_data"],
)
def downgrade_scsv(lab):
    old_server(lab)
    with lab.recording():
        lab.s_client("legacy.test", "-tls1_2", fails=True)
        lab.s_client("legacy.test", *OLD, "-fallback_scsv")


@capture(
    "consistency/downgrade-silent.pcap",
    shows="openssl s_client fails with TLS 1.2 and tries again with TLS 1.0 without saying that it falls back.",
    tools=["openssl s_client", "nginx"],
    fires=["tls-version-negotiated", "version-downgrade-retry"],
    silent=["tls-failure-then-cleartext", "cleartext-http"],
    expect=["tls.alert_message.desc == 70", "tls.app_data"],
    forbid=["tls.handshake.ciphersuite == 0x5600"],
)
def downgrade_silent(lab):
    old_server(lab)
    with lab.recording():
        lab.s_client("legacy.test", "-tls1_2", fails=True)
        lab.s_client("legacy.test", *OLD)


@capture(
    "consistency/downgrade-detected.pcap",
    shows="openssl s_client falls back to TLS 1.2; the server speaks 1.3, sees TLS_FALLBACK_SCSV and refuses.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["tls-failure-then-cleartext", "tls-version-negotiated"],
    expect=["tls.alert_message.desc == 86", "tls.handshake.ciphersuite == 0x5600"],
)
def downgrade_detected(lab):
    lab.s_server("shop.test")
    with lab.recording():
        lab.s_client("shop.test", "-tls1_2", "-fallback_scsv", fails=True)


@capture(
    "consistency/retry-same-version.pcap",
    shows="openssl s_client fails with TLS 1.2 twice, with the same offer.",
    tools=["openssl s_client", "nginx"],
    silent=RULES,
    expect=["tls.alert_message.desc == 70"],
)
def retry_same_version(lab):
    lab.nginx(lab.https("shop.test", protocols="TLSv1.3"))
    with lab.recording():
        for _ in range(2):
            lab.s_client("shop.test", "-tls1_2", fails=True)


@capture(
    "consistency/two-versions.pcap",
    shows="Two sessions with one host, TLS 1.3 and then 1.2, both without a failure.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=[*RULES, "tls-version-negotiated"],
    expect=[
        "tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304",
        "tls.handshake.type == 11",
    ],
)
def two_versions(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("https://shop.test/")
        lab.curl("--tls-max", "1.2", "https://shop.test/")


@capture(
    "consistency/redirect-to-tls.pcap",
    shows="curl begins with http://redirect.test/, is sent to https:// and follows.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-first-then-redirect", "cleartext-http"],
    silent=["redirect-to-cleartext", "tls-failure-then-cleartext", "version-downgrade-retry"],
    expect=['http.location contains "https://"', "tls.handshake.extensions_server_name == redirect.test"],
)
def redirect_to_tls(lab):
    lab.nginx(
        lab.plain_http("redirect.test", body="return 301 https://$host$request_uri;"),
        lab.https("redirect.test", options="add_header Strict-Transport-Security 'max-age=63072000';"),
    )
    with lab.recording():
        lab.curl("-L", "http://redirect.test/start")


@capture(
    "consistency/redirect-to-cleartext.pcap",
    shows="A redirect to http://news.test/: curl follows it in the clear.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "redirect-to-cleartext"],
    silent=["cleartext-first-then-redirect", "tls-failure-then-cleartext"],
    expect=['http.location contains "http://news.test"', "http.host == news.test"],
)
def redirect_to_cleartext(lab):
    lab.nginx(
        lab.plain_http("redirect.test", body="return 302 http://news.test/;"), lab.plain_http("news.test")
    )
    with lab.recording():
        lab.curl("-L", "http://redirect.test/start")


@capture(
    "consistency/tls-then-cleartext.pcap",
    shows="https://redirect.test/ redirects, unseen, to http://redirect.test/plain, and curl follows within milliseconds.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http", "mixed-protection-host"],
    silent=["cleartext-first-then-redirect", "tls-failure-then-cleartext", "version-downgrade-retry"],
    expect=["tls.handshake.extensions_server_name == redirect.test", "http.host == redirect.test"],
)
def tls_then_cleartext(lab):
    lab.nginx(
        lab.https("redirect.test", body="return 302 http://redirect.test/plain;"),
        lab.plain_http("redirect.test"),
    )
    with lab.recording():
        lab.curl("-L", "https://redirect.test/start")


@capture(
    "consistency/hsts-remembered.pcap",
    shows="curl remembers redirect.test's HSTS: asked for http:// it goes straight to TLS.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=[*RULES, "cleartext-http"],
    expect=["tls.handshake.extensions_server_name == redirect.test"],
    forbid=["http"],
)
def hsts_remembered(lab):
    lab.nginx(lab.https("redirect.test", options="add_header Strict-Transport-Security 'max-age=63072000';"))
    cache = lab.dir / "hsts.txt"
    cache.unlink(missing_ok=True)
    lab.curl("--hsts", cache, "https://redirect.test/")
    with lab.recording():
        lab.curl("--hsts", cache, "http://redirect.test/again")


@capture(
    "consistency/redirect-relative.pcap",
    shows="A redirect within http://redirect.test/ that names no scheme.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=["cleartext-first-then-redirect", "mixed-protection-host", "redirect-to-cleartext"],
    expect=["http.location", 'http.request.uri == "/home"'],
)
def redirect_relative(lab):
    options = "absolute_redirect off; location /home { return 200 'home\\n'; }"
    lab.nginx(lab.plain_http("redirect.test", body="return 302 /home;", options=options))
    with lab.recording():
        lab.curl("-L", "http://redirect.test/start")
