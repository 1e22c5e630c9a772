"""HTTP/1 in the clear, and what leaks with it (group 5.1 of the rules)."""

from .catalogue import capture


@capture(
    "http/cleartext-get.pcap",
    shows="curl fetches http://news.test/ without TLS; nothing secret is in it.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-http"],
    silent=["cleartext-credentials", "cleartext-secret-in-url", "cleartext-unknown", "mixed-protection-host"],
    expect=["http.request.method == GET && http.host == news.test", "http.response.code == 200"],
)
def cleartext_get(lab):
    lab.nginx(lab.plain_http("news.test"))
    with lab.recording():
        lab.curl("http://news.test/")


@capture(
    "http/basic-auth.pcap",
    shows="curl sends a user name and a password with HTTP Basic authentication in the clear.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["cleartext-credentials", "cleartext-http"],
    silent=["cleartext-secret-in-url"],
    expect=["http.authbasic"],
)
def basic_auth(lab):
    lab.nginx(lab.plain_http("shop.test"))
    with lab.recording():
        lab.curl("-u", "alice:open-sesame", "http://shop.test/account")
