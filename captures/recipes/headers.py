"""What responses say of security in their headers (group 5.3 of the rules)."""

import struct

from . import capfile
from .catalogue import capture

RULES = [
    "http-to-https-redirect-without-hsts",
    "insecure-cookie",
    "missing-csp",
    "missing-hsts",
    "missing-nosniff",
    "weak-hsts",
]


def answer(file, shows, options, *, expect, fires=(), body="return 200 'ok\\n';", fails=False):
    """One page of http://shop.test/ with these nginx directives."""

    @capture(
        f"headers/{file}.pcap",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        fires=["cleartext-http", *fires],
        silent=[rule for rule in RULES if rule not in fires],
        expect=expect,
    )
    def record(lab):
        lab.nginx(lab.plain_http("shop.test", body=body, options=options))
        with lab.recording():
            lab.curl("http://shop.test/page", fails=fails)

    record.__name__ = file.replace("-", "_")


NOSNIFF = "add_header X-Content-Type-Options nosniff;"
CSP = "add_header Content-Security-Policy \"default-src 'self'\";"

answer(
    "bare",
    "An HTML page without any security header.",
    "",
    fires=["missing-csp", "missing-nosniff"],
    expect=['http.content_type == "text/html" && http.response.code == 200'],
)
answer(
    "complete",
    "An HTML page with a policy and nosniff, and Strict-Transport-Security, which means nothing over http.",
    NOSNIFF + CSP + "add_header Strict-Transport-Security 'max-age=300';",
    expect=['http.response.line contains "Content-Security-Policy"', 'http.response.line contains "nosniff"'],
)
answer(
    "report-only",
    "An HTML page whose content security policy only reports.",
    NOSNIFF + "add_header Content-Security-Policy-Report-Only \"default-src 'self'\";",
    fires=["missing-csp"],
    expect=['http.response.line contains "Report-Only"'],
)
answer(
    "json",
    "An answer in JSON with nosniff: no document, so no policy is missing.",
    NOSNIFF + "default_type application/json;",
    body="return 200 '{}\\n';",
    expect=['http.content_type == "application/json"'],
)
answer(
    "json-guessed",
    "An answer in JSON without nosniff.",
    "default_type 'application/json; charset=utf-8';",
    body="return 200 '{}\\n';",
    fires=["missing-nosniff"],
    expect=['http.content_type contains "application/json"'],
)
answer(
    "image",
    "An image without any security header.",
    "default_type image/png;",
    expect=['http.content_type == "image/png"'],
)
answer(
    "not-found",
    "An error page without any security header: 404.",
    "",
    body="return 404;",
    expect=["http.response.code == 404"],
)
answer(
    "no-content",
    "An answer without content: 204.",
    "",
    body="return 204;",
    expect=["http.response.code == 204"],
)
answer(
    "cookie-in-cleartext",
    "A session cookie is set in the clear.",
    NOSNIFF + CSP + "add_header Set-Cookie 'session=7c1fe0; Path=/; HttpOnly';",
    fires=["insecure-cookie"],
    expect=["http.set_cookie"],
)
answer(
    "cookie-deleted",
    "The server deletes two cookies, one by its age and one by its date.",
    NOSNIFF
    + CSP
    + "add_header Set-Cookie 'session=gone; Path=/; Max-Age=0';"
    + "add_header Set-Cookie 'theme=x; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT';",
    expect=["http.set_cookie"],
)


@capture(
    "headers/redirect-to-tls-unread.pcap",
    shows="curl is sent from http://redirect.test/ to https://, whose headers nobody can read.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-first-then-redirect", "cleartext-http"],
    silent=RULES,
    expect=['http.location contains "https://"', "tls.app_data"],
)
def redirect_to_tls_unread(lab):
    lab.nginx(
        lab.plain_http("redirect.test", body="return 301 https://$host$request_uri;"),
        lab.https("redirect.test"),
    )
    with lab.recording():
        lab.curl("-L", "http://redirect.test/start")


# Inside TLS, with the session's keys in the file


def keyed(file, shows, options, *, fires=(), redirect=False, expect=("http.response.code == 200",)):
    """One page of https://shop.test/ with these nginx directives, and the keys to read it."""

    @capture(
        f"headers/{file}.pcapng",
        shows=shows,
        tools=["curl", "nginx", "dnsmasq"],
        how="converted",
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=["tls.app_data", *expect],
    )
    def record(lab):
        lab.nginx(
            lab.https("shop.test", options=NOSNIFF + CSP + options),
            lab.plain_http("shop.test", body="return 301 https://$host$request_uri;"),
        )
        keys = lab.dir / "keys.txt"
        keys.unlink(missing_ok=True)
        with lab.recording(file=lab.temporary("wire.pcap")) as wire:
            url = "http://shop.test/page" if redirect else "https://shop.test/page"
            environment = {"SSLKEYLOGFILE": str(keys), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            lab.curl("-L", "--http1.1", url, env=environment)
        text = keys.read_bytes()
        out = capfile.Pcapng().section().interface(1)
        out.block(0x0A, struct.pack("<II", 0x544C534B, len(text)) + text)
        for frame in capfile.read(wire):
            out.packet(frame)
        lab.out.write_bytes(out.data)

    record.__name__ = file.replace("-", "_")


STS = "add_header Strict-Transport-Security"
keyed(
    "hsts-missing",
    "An HTML page over TLS without Strict-Transport-Security.",
    "",
    fires=["missing-hsts"],
)
keyed(
    "hsts-present",
    "An HTML page over TLS whose host asks to be reached so for two years.",
    f"{STS} 'max-age=63072000; includeSubDomains';",
)
keyed(
    "hsts-short",
    "A host that asks to be reached over TLS for five minutes.",
    f"{STS} 'max-age=300';",
    fires=["weak-hsts"],
)
keyed(
    "hsts-off",
    "A host that switches Strict-Transport-Security off.",
    f"{STS} 'max-age=0';",
    fires=["weak-hsts"],
)
keyed(
    "hsts-missing-after-redirect",
    "http://shop.test/ redirects to https://, which does not ask to be reached so next time.",
    "",
    redirect=True,
    fires=[
        "cleartext-first-then-redirect",
        "cleartext-http",
        "http-to-https-redirect-without-hsts",
        "missing-hsts",
    ],
    expect=["http.response.code == 301", "http.response.code == 200"],
)
keyed(
    "cookie-without-secure",
    "A cookie over TLS that may go out over http as well, and a session that scripts can read.",
    f"{STS} 'max-age=63072000';add_header Set-Cookie 'theme=x; Path=/';"
    "add_header Set-Cookie 'session=7c1fe0; Path=/; Secure';",
    fires=["insecure-cookie"],
)
keyed(
    "cookie-with-secure",
    "A session cookie over TLS with Secure and HttpOnly.",
    f"{STS} 'max-age=63072000';add_header Set-Cookie 'session=7c1fe0; Path=/; Secure; HttpOnly';",
)
