"""What responses say of security in their headers (group 5.3 of the rules)."""

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
