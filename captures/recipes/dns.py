"""DNS over UDP and TCP: the names behind the addresses."""

from .catalogue import capture


@capture(
    "dns/a-aaaa-https.pcap",
    shows="dig asks for the A, AAAA and HTTPS records of shop.test over UDP.",
    tools=["dig", "dnsmasq"],
    silent=["cleartext-http", "cleartext-unknown", "non-tls-encryption"],
    expect=["dns.a == 198.51.100.10", "dns.aaaa == 2001:db8:100::10", "dns.resp.type == 65"],
)
def a_aaaa_https(lab):
    with lab.recording():
        for kind in ("A", "AAAA", "HTTPS"):
            lab.phone("dig", "+nocookie", "shop.test", kind)
