"""TLS: versions, ciphers and groups as real stacks negotiate them (group 5.2 of the rules)."""

from pathlib import Path

from . import compression
from .catalogue import Judged, capture
from .network import v4

TLS13 = "tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304"
TLS12 = "tls.handshake.type == 2 && tls.handshake.version == 0x0303"
ANSWERED = "tls.app_data"
LOW = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
SOUND = [
    "cleartext-http",
    "cleartext-on-tls-port",
    "cleartext-unknown",
    "missing-sni",
    "no-extended-master-secret",
    "non-tls-encryption",
    "null-or-anonymous-cipher",
    "tls-version-negotiated",
    "tls-version-offered",
    "weak-cipher-negotiated",
    "weak-group",
    "weak-signature",
]
# Of clients that offer nothing weak, either; browsers offer static RSA to this day.
CAREFUL = [*SOUND, "weak-cipher-offered"]


@capture(
    "tls/tls13-good.pcap",
    shows="curl looks up shop.test and fetches https://shop.test/ over TLS 1.3: nothing is wrong with it.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=CAREFUL,
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
    + ["accepted-weak-certificate", "insecure-renegotiation", "tls-compression", "version-downgrade-retry"]
    + ["weak-cipher-offered"],
    judged=[
        Judged("policies/shop-only.toml", silent=["undeclared-endpoint"]),
        Judged("policies/exception-over.toml", silent=["policy-expired-exception"]),
    ],
    expect=[TLS12, "tls.handshake.type == 11"],
)
def tls12_good(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", "https://shop.test/")


@capture(
    "tls/ipv6.pcap",
    shows="curl fetches https://shop.test/ over IPv6 and TLS 1.3.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=CAREFUL,
    expect=[TLS13 + " && ipv6"],
)
def ipv6(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("-6", "https://shop.test/")


# Versions


@capture(
    "tls/tls10.pcap",
    shows="curl and nginx agree on TLS 1.0, the only version that the server speaks.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["tls-version-negotiated"],
    silent=["accepted-untrusted-chain", "cleartext-http", "null-or-anonymous-cipher"],
    expect=["tls.handshake.type == 2 && tls.handshake.version == 0x0301", ANSWERED],
)
def tls10(lab):
    lab.nginx(lab.https("legacy.test", protocols="TLSv1", options=f'ssl_ciphers "{LOW}";'))
    with lab.recording():
        lab.curl("--tlsv1.0", "--ciphers", "DEFAULT:@SECLEVEL=0", "--tls-max", "1.0", "https://legacy.test/")


@capture(
    "tls/tls11.pcap",
    shows="curl offers TLS 1.0 to 1.3 and nginx chooses TLS 1.1.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["tls-version-negotiated", "tls-version-offered"],
    silent=["cleartext-http", "null-or-anonymous-cipher"],
    expect=["tls.handshake.type == 2 && tls.handshake.version == 0x0302", ANSWERED],
)
def tls11(lab):
    lab.nginx(lab.https("legacy.test", protocols="TLSv1.1", options=f'ssl_ciphers "{LOW}";'))
    with lab.recording():
        lab.curl("--tlsv1.0", "--ciphers", "DEFAULT:@SECLEVEL=0", "https://legacy.test/")


@capture(
    "tls/versions-offered.pcap",
    shows="curl offers TLS 1.0 and 1.1 beside 1.3, and nginx chooses 1.3.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["tls-version-offered"],
    silent=["tls-version-negotiated", "version-downgrade-retry"],
    expect=["tls.handshake.type == 1 && tls.handshake.extensions.supported_version == 0x0301", TLS13],
)
def versions_offered(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("--tlsv1.0", "--ciphers", "DEFAULT:@SECLEVEL=0", "https://shop.test/")


@capture(
    "tls/sslv3-rc4.pcap",
    shows="tlslite-ng speaks SSL 3.0 with RC4 to itself, as phones of 2010 did.",
    tools=["tlslite-ng"],
    fires=["tls-version-negotiated", "weak-cipher-negotiated"],
    silent=["null-or-anonymous-cipher"],
    expect=[
        "tls.handshake.type == 2 && tls.handshake.version == 0x0300 && tls.handshake.ciphersuite == 0x0005"
    ],
)
def sslv3_rc4(lab):
    old = {"minVersion": (3, 0), "maxVersion": (3, 0), "cipherNames": ["rc4"], "macNames": ["sha"]}
    old["keyExchangeNames"] = ["rsa"]
    lab.tlslite_server("legacy.test", lab.pki.server("legacy.test", key="rsa2048"), **old)
    with lab.recording():
        lab.tlslite_client("legacy.test", **old)


@capture(
    "tls/version-refused.pcap",
    shows="curl offers TLS 1.2 at most and nginx speaks 1.3 only: a protocol_version alert, and no fallback.",
    tools=["curl", "nginx", "dnsmasq"],
    silent=["tls-version-negotiated", "version-downgrade-retry", "tls-failure-then-cleartext"],
    expect=["tls.alert_message.desc == 70"],
)
def version_refused(lab):
    lab.nginx(lab.https("shop.test", protocols="TLSv1.3"))
    with lab.recording():
        lab.curl("--tls-max", "1.2", "https://shop.test/", fails=True)


# Cipher suites


def openssl_cipher(name, suite, shows, fires, silent=(), key="rsa2048", server=(), client=(), expect=()):
    """One capture of `openssl s_client` and `s_server` that agree on one TLS 1.2 cipher suite."""

    @capture(
        f"tls/cipher-{name}.pcap",
        shows=shows,
        tools=["openssl s_client", "openssl s_server"],
        fires=fires,
        silent=silent,
        expect=[TLS12, *expect],
    )
    def record(lab):
        options = ("-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
        identity = None if "-nocert" in server else lab.pki.server("legacy.test", key=key)
        # It answers with the line reversed: its status page names files of the machine, and NULL hides nothing.
        lab.s_server("legacy.test", *options, *server, identity=identity, respond="-rev")
        with lab.recording():
            lab.s_client("legacy.test", *options, *client, request="a line to be turned round\n")

    record.__name__ = "openssl_cipher"


openssl_cipher(
    "null",
    "NULL-SHA256",
    "openssl negotiates TLS_RSA_WITH_NULL_SHA256: authenticated, and readable by anybody.",
    ["null-or-anonymous-cipher", "weak-cipher-negotiated", "weak-cipher-offered"],
    ["tls-version-negotiated"],
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0x003b"],
)
openssl_cipher(
    "anonymous-dh",
    "ADH-AES128-GCM-SHA256",
    "openssl negotiates anonymous Diffie-Hellman over 1024 bits: encrypted, and nobody knows with whom.",
    ["null-or-anonymous-cipher", "weak-cipher-negotiated", "weak-cipher-offered", "weak-group"],
    ["tls-version-negotiated"],
    server=["-nocert"],
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0x00a6"],
)
openssl_cipher(
    "anonymous-ecdh",
    "AECDH-AES128-SHA",
    "openssl negotiates anonymous elliptic-curve Diffie-Hellman.",
    ["null-or-anonymous-cipher", "weak-cipher-negotiated", "weak-cipher-offered"],
    ["tls-version-negotiated"],
    server=["-nocert"],
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0xc018"],
)
openssl_cipher(
    "static-rsa",
    "AES128-GCM-SHA256",
    "openssl negotiates RSA key transport: no forward secrecy, a MUST NOT of RFC 10015.",
    ["weak-cipher-negotiated", "weak-cipher-offered"],
    ["null-or-anonymous-cipher", "tls-version-negotiated", "weak-group"],
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0x009c"],
)
openssl_cipher(
    "dhe",
    "DHE-RSA-AES128-GCM-SHA256",
    "openssl negotiates finite-field Diffie-Hellman over a group of 2048 bits: a MUST NOT of RFC 10015.",
    ["weak-cipher-negotiated", "weak-cipher-offered"],
    ["null-or-anonymous-cipher", "tls-version-negotiated", "weak-group"],
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0x009e", "tls.handshake.p_len == 256"],
)
openssl_cipher(
    "cbc",
    "ECDHE-RSA-AES128-SHA",
    "openssl negotiates ECDHE with AES in CBC mode and SHA-1: a question of policy.",
    [],
    ["null-or-anonymous-cipher", "tls-version-negotiated", "weak-cipher-offered", "weak-group", "weak-signature"],
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0xc013"],
)
openssl_cipher(
    "ccm8",
    "ECDHE-ECDSA-AES128-CCM8",
    "openssl negotiates AES-CCM with a short tag of 8 bytes.",
    [],
    ["null-or-anonymous-cipher", "tls-version-negotiated", "weak-group"],
    key="ec",
    expect=["tls.handshake.type == 2 && tls.handshake.ciphersuite == 0xc0ae"],
)


@capture(
    "tls/cipher-rc4.pcap",
    shows="gnutls-cli and gnutls-serv agree on RC4 under TLS 1.2.",
    tools=["gnutls-cli", "gnutls-serv"],
    fires=["weak-cipher-negotiated", "weak-cipher-offered"],
    silent=["null-or-anonymous-cipher", "tls-version-negotiated"],
    expect=[TLS12 + " && tls.handshake.ciphersuite == 0x0005"],
)
def cipher_rc4(lab):
    gnutls(lab, "NONE:+VERS-TLS1.2:+ARCFOUR-128:+SHA1:+RSA:+SIGN-ALL:+COMP-NULL:%VERIFY_ALLOW_SIGN_WITH_SHA1")


@capture(
    "tls/cipher-3des.pcap",
    shows="tlslite-ng speaks TLS 1.2 with triple DES to itself.",
    tools=["tlslite-ng"],
    fires=["weak-cipher-negotiated", "weak-cipher-offered"],
    silent=["null-or-anonymous-cipher", "tls-version-negotiated"],
    expect=[
        TLS12,
        "tls.handshake.type == 2 && (tls.handshake.ciphersuite == 0x000a || tls.handshake.ciphersuite == 0xc012)",
    ],
)
def cipher_3des(lab):
    old = {"minVersion": (3, 3), "maxVersion": (3, 3), "cipherNames": ["3des"]}
    lab.tlslite_server("legacy.test", lab.pki.server("legacy.test", key="rsa2048"), **old)
    with lab.recording():
        lab.tlslite_client("legacy.test", **old)


@capture(
    "tls/ciphers-offered.pcap",
    shows="curl offers NULL, anonymous and static RSA suites beside good ones; nginx chooses TLS 1.3.",
    tools=["curl", "nginx", "dnsmasq"],
    fires=["weak-cipher-offered"],
    silent=["weak-cipher-negotiated", "null-or-anonymous-cipher"],
    expect=["tls.handshake.type == 1 && tls.handshake.ciphersuite == 0x003b", TLS13],
)
def ciphers_offered(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("--ciphers", LOW, "https://shop.test/")


# Groups and signatures


def gnutls(lab, server, client=None, host="legacy.test", key="rsa2048", **options):
    """gnutls-cli asks gnutls-serv, each under its own priority string."""
    lab.gnutls_serv(host, server, key=key)
    with lab.recording():
        lab.gnutls_cli(host, client or server, **options)


@capture(
    "tls/group-dh1024.pcap",
    shows="openssl negotiates finite-field Diffie-Hellman over a group of 1024 bits.",
    tools=["openssl s_client", "nginx"],
    fires=["weak-cipher-negotiated", "weak-group"],
    silent=["null-or-anonymous-cipher", "tls-version-negotiated"],
    expect=["tls.handshake.p_len == 128"],
)
def group_dh1024(lab):
    parameters = lab.dir / "dh1024.pem"
    lab.run("openssl", "dhparam", "-dsaparam", "-out", parameters, "1024")
    suite = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"
    identity = lab.pki.server("legacy.test", key="rsa2048")
    options = f'ssl_ciphers "{suite}"; ssl_dhparam {parameters};'
    lab.nginx(lab.https("legacy.test", identity, protocols="TLSv1.2", options=options))
    with lab.recording():
        lab.s_client("legacy.test", "-tls1_2", "-cipher", suite)


@capture(
    "tls/group-secp192r1.pcap",
    shows="openssl negotiates ECDHE over secp192r1.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["weak-group"],
    silent=["null-or-anonymous-cipher", "tls-version-negotiated", "weak-cipher-negotiated"],
    expect=["tls.handshake.server_named_curve == 0x0013"],
)
def group_secp192r1(lab):
    options = ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", "-groups", "P-192")
    lab.s_server("legacy.test", *options)
    with lab.recording():
        lab.s_client("legacy.test", *options)


@capture(
    "tls/group-secp521r1.pcap",
    shows="openssl negotiates ECDHE over secp521r1, which is unusual and strong.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["weak-group", "weak-signature", "weak-cipher-negotiated"],
    expect=["tls.handshake.server_named_curve == 0x0019"],
)
def group_secp521r1(lab):
    options = ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384", "-groups", "P-521")
    lab.s_server("legacy.test", *options)
    with lab.recording():
        lab.s_client("legacy.test", *options)


@capture(
    "tls/signature-sha1.pcap",
    shows="openssl signs its ServerKeyExchange with RSA and SHA-1 under TLS 1.2.",
    tools=["openssl s_client", "openssl s_server"],
    fires=["weak-signature"],
    silent=["tls-version-negotiated", "weak-cipher-negotiated", "weak-group"],
    expect=["tls.handshake.type == 12 && tls.handshake.sig_hash_alg == 0x0201"],
)
def signature_sha1(lab):
    options = ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    lab.s_server("legacy.test", *options)
    with lab.recording():
        lab.s_client("legacy.test", *options, "-sigalgs", "RSA+SHA1")


@capture(
    "tls/signature-md5.pcap",
    shows="tlslite-ng signs its ServerKeyExchange with RSA and MD5 under TLS 1.2.",
    tools=["tlslite-ng"],
    fires=["weak-signature"],
    silent=["tls-version-negotiated", "weak-group"],
    expect=["tls.handshake.type == 12 && tls.handshake.sig_hash_alg == 0x0101"],
)
def signature_md5(lab):
    old = {
        "minVersion": (3, 3),
        "maxVersion": (3, 3),
        "rsaSigHashes": ["md5"],
        "rsaSchemes": ["pkcs1"],
        "more_sig_schemes": [],
        "ecdsaSigHashes": [],
        "dsaSigHashes": [],
        "cipherNames": ["aes128gcm"],
        "keyExchangeNames": ["ecdhe_rsa"],
    }
    lab.tlslite_server("legacy.test", lab.pki.server("legacy.test", key="rsa2048"), **old)
    with lab.recording():
        lab.tlslite_client("legacy.test", **old)


# Extensions that a session lacks


@capture(
    "tls/no-sni.pcap",
    shows="openssl s_client connects to a named server without saying which name it wants.",
    tools=["openssl s_client", "nginx", "dig"],
    fires=["missing-sni"],
    silent=["tls-version-negotiated", "cleartext-unknown"],
    expect=[TLS13, "dns.a == 198.51.100.10"],
    forbid=["tls.handshake.extensions_server_name"],
)
def no_sni(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.phone("dig", "+nocookie", "shop.test")
        lab.s_client("shop.test", name=False)


@capture(
    "tls/address-literal.pcap",
    shows="curl -k fetches https://198.51.100.10/: an address has no name to send.",
    tools=["curl", "nginx"],
    expect=[TLS13],
    forbid=["tls.handshake.extensions_server_name", "dns"],
)
def address_literal(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        lab.curl("-k", "https://198.51.100.10/")


@capture(
    "tls/no-extended-master-secret.pcap",
    shows="gnutls-cli and gnutls-serv agree on TLS 1.2 without the extended master secret.",
    tools=["gnutls-cli", "gnutls-serv"],
    fires=["no-extended-master-secret"],
    silent=["insecure-renegotiation", "tls-version-negotiated", "weak-cipher-negotiated"],
    expect=[TLS12],
    forbid=["tls.handshake.type == 2 && tls.handshake.extension.type == 23"],
)
def no_extended_master_secret(lab):
    gnutls(lab, "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH", "NORMAL:-VERS-ALL:+VERS-TLS1.2")


@capture(
    "tls/no-renegotiation-info.pcap",
    shows="gnutls-serv with safe renegotiation disabled does not answer renegotiation_info under TLS 1.2.",
    tools=["gnutls-cli", "gnutls-serv"],
    fires=["insecure-renegotiation"],
    silent=["no-extended-master-secret", "tls-version-negotiated", "weak-cipher-negotiated"],
    expect=[TLS12],
    forbid=["tls.handshake.type == 2 && tls.handshake.extension.type == 65281"],
)
def no_renegotiation_info(lab):
    plain = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
    gnutls(lab, plain + ":%DISABLE_SAFE_RENEGOTIATION", plain)


@capture(
    "tls/gnutls-tls12.pcap",
    shows="gnutls-cli and gnutls-serv under TLS 1.2 with all that belongs to it.",
    tools=["gnutls-cli", "gnutls-serv"],
    silent=["insecure-renegotiation", "no-extended-master-secret", "tls-compression", "weak-signature"],
    expect=[TLS12],
)
def gnutls_tls12(lab):
    gnutls(lab, "NORMAL:-VERS-ALL:+VERS-TLS1.2")


@capture(
    "tls/renegotiated.pcap",
    shows="openssl s_client renegotiates a TLS 1.2 session safely, with a second, encrypted handshake.",
    tools=["openssl s_client", "openssl s_server"],
    silent=["insecure-renegotiation", "version-downgrade-retry"],
    expect=[
        TLS12,
        "tls.record.content_type == 22 && tls.handshake && tcp.dstport == 443 && !tls.handshake.type",
    ],
)
def renegotiated(lab):
    lab.s_server("shop.test", "-tls1_2", "-client_renegotiation", respond="-rev")
    with lab.recording():
        lab.s_client("shop.test", "-tls1_2", request="R\nhello\n", renegotiate=True)


# Compression


@capture(
    "tls/compressed.pcap",
    shows="A client and a server of an OpenSSL that was built with zlib negotiate DEFLATE under TLS 1.2.",
    tools=["OpenSSL 1.1.1 of psycopg2-binary"],
    fires=["tls-compression"],
    silent=["null-or-anonymous-cipher", "tls-version-negotiated", "missing-sni"],
    expect=["tls.handshake.type == 2 && tls.handshake.comp_method == 1", ANSWERED],
)
def compressed(lab):
    python, script = lab.venv / "bin/python", Path(compression.__file__)
    files = lab.pki.server("shop.test")
    lab.serve(python, script, "server", v4("shop.test"), 443, files.chain, files.key, port=443)
    with lab.recording():
        lab.phone(python, script, "client", v4("shop.test"), 443, "shop.test", lab.pki.root, "zlib")


@capture(
    "tls/compression-offered.pcap",
    shows="OpenSSL offers DEFLATE under TLS 1.2, and nginx chooses no compression.",
    tools=["OpenSSL 1.1.1 of psycopg2-binary", "nginx"],
    silent=["tls-compression", "tls-version-negotiated"],
    expect=[
        "tls.handshake.type == 1 && tls.handshake.comp_method == 1",
        "tls.handshake.type == 2 && tls.handshake.comp_method == 0",
        ANSWERED,
    ],
)
def compression_offered(lab):
    lab.nginx(lab.https("shop.test"))
    with lab.recording():
        script = Path(compression.__file__)
        lab.phone(
            lab.venv / "bin/python", script, "client", v4("shop.test"), 443, "shop.test", lab.pki.root, "none"
        )
