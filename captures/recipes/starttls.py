"""Mail protocols that begin without TLS: upgraded, not upgraded although offered, refused, meddled with."""

import contextlib
import imaplib
import poplib
import shutil
import smtplib

from . import clients, on_the_way
from .catalogue import capture
from .network import v4

RULES = ["cleartext-credentials", "cleartext-protocol", "starttls-not-used", "starttls-stripped"]
HOST = "mail.test"
USER, PASSWORD = "anna", "not-a-secret"
LETTER = "Subject: Lunch\r\n\r\nAt noon?\r\n"
PORTS = {"smtp": 587, "imap": 143, "pop3": 110, "sieve": 4190}
TOOLS = {"smtp": ["smtplib", "aiosmtpd"], "imap": ["imaplib", "dovecot"], "pop3": ["poplib", "dovecot"]}
CERTIFICATE = ["tls.handshake.type == 11"]

AIOSMTPD = """
import ssl, sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult

address, *identity = sys.argv[1:]
context = None
if identity:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
options = dict(
    authenticator=lambda *_: AuthResult(success=True),
    auth_require_tls=False,
    server_hostname="mail.test",
    tls_context=context,
)
Controller(Sink(), address, 587, **options).start()
time.sleep(600)
"""


def shown(file, shows, tools, *, fires=(), rules=RULES, **declared):
    """A capture of this folder, which is a near miss for what it does not fire."""
    silent = [rule for rule in rules if rule not in fires]
    return capture(f"starttls/{file}.pcap", shows=shows, tools=tools, fires=fires, silent=silent, **declared)


def home(lab, name):
    """A fresh directory of a program."""
    made = lab.dir / name
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    return made


def smtp_server(lab, tls):
    identity = lab.pki.server(HOST)
    files = [identity.chain, identity.key] if tls else []
    return lab.serve(lab.venv / "bin/python", "-c", AIOSMTPD, v4(HOST), *files, port=587)


def dovecot(lab, protocol, tls):
    """Dovecot with one account, any password of which is right that is `PASSWORD`."""
    identity = lab.pki.server(HOST)
    home = lab.dir / "dovecot"
    home.mkdir(exist_ok=True)
    letters = lab.dir / "mail"
    letters.mkdir(exist_ok=True)
    letters.chmod(0o777)
    configuration = home / "dovecot.conf"
    configuration.write_text(
        f"base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/log\nlisten = {v4(HOST)}\n"
        f"protocols = {protocol}\nssl = {'yes' if tls else 'no'}\nssl_min_protocol = TLSv1.3\n"
        f"ssl_cert = <{identity.chain}\nssl_key = <{identity.key}\ndisable_plaintext_auth = no\n"
        "first_valid_uid = 1\nmail_location = mbox:~/mail:INBOX=~/inbox\n"
        f"passdb {{\n driver = static\n args = password={PASSWORD}\n}}\n"
        f"userdb {{\n driver = static\n args = uid=nobody gid=nogroup home={lab.dir}/mail\n}}\n"
        "service imap-login {\n inet_listener imaps {\n port = 0\n }\n chroot =\n}\n"
        "service pop3-login {\n inet_listener pop3s {\n port = 0\n }\n chroot =\n}\n"
    )
    lab.serve("dovecot", "-F", "-c", configuration, port=PORTS[protocol])


def serve(lab, protocol, tls):
    if protocol == "smtp":
        smtp_server(lab, tls)
    else:
        dovecot(lab, protocol, tls)


def smtp(lab, how, **tls):
    with smtplib.SMTP(v4(HOST), 587, local_hostname="phone.test", timeout=10) as client:
        # Names are not looked up here, which would ask outside of the lab; TLS shall still know the server's.
        client._host = HOST
        if how == "unasked":
            client.helo()
        else:
            client.ehlo()
        if how == "upgraded":
            client.starttls(context=clients.context(lab.pki.root, **tls))
        elif how.startswith("refused"):
            client.docmd("STARTTLS")
        if how not in ("left", "refused-left"):
            if how != "unasked":
                client.login(USER, PASSWORD)
            client.sendmail("anna@mail.test", ["ben@mail.test"], LETTER)


def imap(lab, how, **tls):
    client = imaplib.IMAP4(v4(HOST), 143, timeout=10)
    client.host = HOST
    if how == "upgraded":
        client.starttls(clients.context(lab.pki.root, **tls))
    elif how.startswith("refused"):
        with contextlib.suppress(imaplib.IMAP4.error):
            client._simple_command("STARTTLS")
    if how not in ("left", "refused-left"):
        client.login(USER, PASSWORD)
    client.logout()


def pop3(lab, how, **tls):
    client = poplib.POP3(v4(HOST), 110, timeout=10)
    client.host = HOST
    if how != "unasked":
        client.capa()
    if how == "upgraded":
        client.stls(clients.context(lab.pki.root, **tls))
    elif how.startswith("refused"):
        with contextlib.suppress(poplib.error_proto):
            client._shortcmd("STLS")
    if how not in ("left", "refused-left"):
        client.user(USER)
        client.pass_(PASSWORD)
    client.quit()


CLIENTS = {"smtp": smtp, "imap": imap, "pop3": pop3}

HOW = {
    "upgraded": ("changes to TLS 1.3 before the login", []),
    "ignored": (
        "logs in without TLS, which the server offers",
        ["cleartext-credentials", "starttls-not-used"],
    ),
    "left": ("asks what the server can, which offers TLS, and leaves", []),
    "refused": ("is refused TLS and logs in all the same", ["cleartext-credentials", "starttls-stripped"]),
    "refused-left": ("is refused TLS and leaves", []),
    "unasked": ("does not ask what the server can", ["cleartext-protocol"]),
}


def declare(protocol, how):
    shows, fires = HOW[how]
    client = TOOLS[protocol][0]
    fires = [*fires, "cleartext-credentials"] if (protocol, how) == ("pop3", "unasked") else fires
    answered = "tls.handshake.type == 2" if how == "upgraded" else {"pop3": "pop"}.get(protocol, protocol)

    @capture(
        f"starttls/{protocol}-{how}.pcap",
        shows=f"{client} {shows}.",
        tools=[*TOOLS[protocol], "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=[answered],
        forbid=[] if how == "upgraded" else ["tls"],
    )
    def record(lab):
        serve(lab, protocol, not how.startswith("refused"))
        with lab.recording():
            lab.phone("getent", "ahostsv4", HOST)
            lab.on_phone(lambda: CLIENTS[protocol](lab, how))

    record.__name__ = f"{protocol}-{how}".replace("-", "_")


for each in HOW:
    declare("smtp", each)
for each in ("upgraded", "ignored", "left", "refused", "refused-left"):
    declare("imap", each)
for each in ("upgraded", "ignored", "refused", "unasked"):
    declare("pop3", each)


@capture(
    "starttls/smtp-offer-missing.pcap",
    shows="smtplib changes to TLS, and later logs in without, where the same server offers it no longer.",
    tools=["smtplib", "aiosmtpd", "dnsmasq"],
    fires=["cleartext-credentials", "cleartext-protocol", "mixed-protection-host", "starttls-stripped"],
    silent=["starttls-not-used"],
    expect=["tls.handshake.type == 2", 'smtp.req.command == "AUTH"'],
)
def smtp_offer_missing(lab):
    server = smtp_server(lab, True)
    with lab.recording():
        lab.phone("getent", "ahostsv4", HOST)
        lab.on_phone(lambda: smtp(lab, "upgraded"))
        server.terminate()
        server.wait()
        smtp_server(lab, False)
        lab.on_phone(lambda: smtp(lab, "ignored"))


READABLE_LOGIN = {
    "smtp": 'tcp.payload contains "AUTH PLAIN"',
    "imap": 'tcp.payload contains "LOGIN"',
    "pop3": 'tcp.payload contains "PASS"',
}


def stripped(protocol, old, new, how, fires):
    """The server's offer is changed on the way, after a client that found it."""
    client = TOOLS[protocol][0]

    @capture(
        f"starttls/{protocol}-stripped.pcap",
        shows=f"{client} changes to TLS 1.3; later somebody on the way {how}, and it logs in.",
        tools=[*TOOLS[protocol], "dnsmasq"],
        how="made",
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=["tls.handshake.type == 2", READABLE_LOGIN[protocol]],
    )
    def record(lab):
        serve(lab, protocol, True)
        with lab.recording():
            lab.phone("getent", "ahostsv4", HOST)
            lab.on_phone(lambda: CLIENTS[protocol](lab, "upgraded"))
            with on_the_way.rewriting(lab, HOST, PORTS[protocol], on_the_way.replacing(old, new)):
                lab.on_phone(lambda: CLIENTS[protocol](lab, "ignored"))

    record.__name__ = f"{protocol}_stripped"


# What Cisco's firewalls did to hide a capability that they do not know.
OVERWRITTEN = "writes XXXXXXXA over STARTTLS"
stripped("smtp", b"STARTTLS", b"XXXXXXXA", OVERWRITTEN, ["cleartext-credentials", "mixed-protection-host", "starttls-stripped"])
stripped(
    "imap",
    b" STARTTLS",
    b"",
    "takes STARTTLS out of the capabilities",
    ["cleartext-credentials", "cleartext-protocol", "mixed-protection-host", "starttls-stripped"],
)
stripped(
    "pop3",
    b"STLS\r\n",
    b"",
    "takes STLS out of the capabilities",
    ["cleartext-credentials", "cleartext-protocol", "mixed-protection-host", "starttls-stripped"],
)


@capture(
    "starttls/smtp-answer-garbled.pcap",
    shows="smtplib asks for TLS; somebody on the way makes the server's yes unreadable, and smtplib logs in.",
    tools=["smtplib", "aiosmtpd", "dnsmasq"],
    how="made",
    fires=["cleartext-credentials", "starttls-stripped"],
    silent=["cleartext-protocol", "starttls-not-used"],
    expect=['tcp.payload == "STARTTLS\\r\\n"', 'tcp.payload contains "?!"', READABLE_LOGIN["smtp"]],
    forbid=["tls"],
)
def smtp_answer_garbled(lab):
    smtp_server(lab, True)

    def garble(to_server, data, back):
        # The server does not hear the request: it would wait for TLS.
        if to_server and data == b"STARTTLS\r\n":
            back(b"?!\r\n")
            return b""
        return data

    with lab.recording():
        lab.phone("getent", "ahostsv4", HOST)
        with on_the_way.rewriting(lab, HOST, 587, garble):
            lab.on_phone(lambda: smtp(lab, "refused"))


@capture(
    "starttls/smtp-injected.pcap",
    shows="smtplib changes to TLS 1.3; readable commands follow its STARTTLS, for a server that takes them for protected.",
    tools=["smtplib", "aiosmtpd", "dnsmasq"],
    how="made",
    silent=RULES,
    expect=[
        'tcp.payload contains "STARTTLS\\r\\nRSET"',
        "tcp.payload[0:3] == 16:03:01",
        "tcp.payload[0:3] == 16:03:03",
    ],
)
def smtp_injected(lab):
    """What CVE-2011-0411 lets through. No client sends it, and nobody on the way can be recorded before he does it."""
    smtp_server(lab, True)

    def act():
        with smtplib.SMTP(v4(HOST), 587, local_hostname="phone.test", timeout=10) as client:
            client._host = HOST
            client.ehlo()
            send = client.send
            client.send = lambda line: send(line + "RSET\r\n" if line == "STARTTLS\r\n" else line)
            client.starttls(context=clients.context(lab.pki.root))
            client.send = send
            client.login(USER, PASSWORD)

    with lab.recording():
        lab.phone("getent", "ahostsv4", HOST)
        lab.on_phone(act)


def keyed(protocol):
    """A session whose keys the client logs."""

    @capture(
        f"decryption/starttls-{protocol}.pcapng",
        shows=f"{TOOLS[protocol][0]} changes to TLS 1.3 and logs in; the keys come with the packets.",
        tools=[*TOOLS[protocol], "dnsmasq"],
        how="converted",
        silent=[*RULES, "cleartext-unknown", "non-tls-encryption"],
        expect=["tls.handshake.type == 20", DECRYPTED[protocol]],
    )
    def record(lab):
        keys = lab.dir / "starttls-keys.log"
        keys.unlink(missing_ok=True)
        serve(lab, protocol, True)
        with lab.recording(file=lab.temporary("wire.pcap")) as wire:
            lab.phone("getent", "ahostsv4", HOST)
            lab.on_phone(lambda: CLIENTS[protocol](lab, "upgraded", keylog_filename=str(keys)))
        lab.run("editcap", "-F", "pcapng", "--inject-secrets", f"tls,{keys}", wire, lab.out)

    record.__name__ = f"{protocol}_keyed"


DECRYPTED = {
    "smtp": 'smtp.req.command == "AUTH"',
    "imap": 'imap.request.command == "LOGIN"',
    "pop3": 'pop.request.command == "PASS"',
}
for each in DECRYPTED:
    keyed(each)
