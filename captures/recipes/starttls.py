"""Mail protocols that begin without TLS: upgraded, not upgraded although offered, and refused."""

import contextlib
import imaplib
import poplib
import smtplib

from . import clients
from .catalogue import capture
from .network import v4

RULES = ["cleartext-credentials", "cleartext-protocol", "starttls-not-used", "starttls-stripped"]
HOST = "mail.test"
USER, PASSWORD = "anna", "not-a-secret"
LETTER = "Subject: Lunch\r\n\r\nAt noon?\r\n"
PORTS = {"smtp": 587, "imap": 143, "pop3": 110}
TOOLS = {"smtp": ["smtplib", "aiosmtpd"], "imap": ["imaplib", "dovecot"], "pop3": ["poplib", "dovecot"]}

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


def smtp(lab, how):
    with smtplib.SMTP(v4(HOST), 587, local_hostname="phone.test", timeout=10) as client:
        # Names are not looked up here, which would ask outside of the lab; TLS shall still know the server's.
        client._host = HOST
        if how == "unasked":
            client.helo()
        else:
            client.ehlo()
        if how == "upgraded":
            client.starttls(context=clients.context(lab.pki.root))
        elif how.startswith("refused"):
            client.docmd("STARTTLS")
        if how not in ("left", "refused-left"):
            if how != "unasked":
                client.login(USER, PASSWORD)
            client.sendmail("anna@mail.test", ["ben@mail.test"], LETTER)


def imap(lab, how):
    client = imaplib.IMAP4(v4(HOST), 143, timeout=10)
    client.host = HOST
    if how == "upgraded":
        client.starttls(clients.context(lab.pki.root))
    elif how.startswith("refused"):
        with contextlib.suppress(imaplib.IMAP4.error):
            client._simple_command("STARTTLS")
    if how not in ("left", "refused-left"):
        client.login(USER, PASSWORD)
    client.logout()


def pop3(lab, how):
    client = poplib.POP3(v4(HOST), 110, timeout=10)
    client.host = HOST
    if how != "unasked":
        client.capa()
    if how == "upgraded":
        client.stls(clients.context(lab.pki.root))
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
    "ignored": ("logs in without TLS, which the server offers", ["cleartext-credentials", "starttls-not-used"]),
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
    fires=["cleartext-credentials", "cleartext-protocol", "starttls-stripped"],
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
