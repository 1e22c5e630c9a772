"""Chat that begins without TLS: IRC and XMPP."""

import os
import pty
import subprocess
import time

from . import on_the_way
from .network import PHONE, v4
from .starttls import CERTIFICATE, PASSWORD, USER, home, shown

HOST = "chat.test"
IRC_TOOLS = ["irssi", "inspircd", "dnsmasq"]
XMPP_TOOLS = ["slixmpp", "prosody", "dnsmasq"]


# IRC


def inspircd(lab, tls=True):
    """A server that asks for a password."""
    identity = lab.pki.server(HOST)
    files = home(lab, "inspircd")
    lines = [
        f'<server name="{HOST}" description="Chat" network="Lab">',
        f'<bind address="{v4(HOST)}" port="6667" type="clients">',
        f'<connect allow="*" password="{PASSWORD}" resolvehostnames="no" useident="no" pingfreq="120">',
        f'<dns server="127.0.0.1"><pid file="{files}/pid"><log method="file" type="*" level="default" target="{files}/log">',
        f'<path configdir="{files}" datadir="{files}" logdir="{files}" runtimedir="{files}">',
        '<module name="cap">',
    ]
    lines += ['<module name="starttls"><starttls provider="Lab">']
    if tls:
        lines += ['<module name="ssl_gnutls">']
        lines += [
            f'<sslprofile name="Lab" provider="gnutls" certfile="{identity.chain}" keyfile="{identity.key}"'
        ]
        lines += [' priority="SECURE128:-VERS-ALL:+VERS-TLS1.2">']
    (files / "inspircd.conf").write_text("\n".join(lines) + "\n")
    lab.serve("inspircd", "--nofork", "--runasroot", "--config", files / "inspircd.conf", port=6667)


def irssi(lab, *settings):
    """irssi on a terminal, which registers and is ended."""
    files = home(lab, "irssi")
    settings = [
        f'address = "{HOST}"; port = "6667"; password = "{PASSWORD}"; autoconnect = "yes"; family = "inet"',
        f'tls_cafile = "{lab.pki.root}"',
        *settings,
    ]
    (files / "config").write_text(
        f"servers = ( {{ {'; '.join(settings)}; }} );\n"
        f'settings = {{ core = {{ real_name = "Anna"; user_name = "{USER}"; nick = "{USER}"; }}; }};\n'
    )
    terminal, end = pty.openpty()
    command = ["ip", "netns", "exec", PHONE, "env", "TERM=vt100", "irssi", f"--home={files}"]
    client = subprocess.Popen(command, stdin=end, stdout=end, stderr=end)
    os.close(end)
    try:
        # What it writes is read away: a full terminal would stop it.
        os.set_blocking(terminal, False)
        for _ in range(30):
            time.sleep(0.1)
            try:
                os.read(terminal, 65536)
            except OSError:
                continue
    finally:
        client.terminate()
        client.wait(10)
        os.close(terminal)


@shown(
    "irc-upgraded",
    "irssi finds TLS among the capabilities and changes to TLS 1.2 before it registers.",
    IRC_TOOLS,
    expect=['irc.request.command == "STARTTLS"', "tcp.srcport == 6667 && tcp.payload[0:3] == 16:03:03"],
    forbid=['tcp.payload contains "PASS"'],
)
def irc_upgraded(lab):
    inspircd(lab)
    with lab.recording():
        irssi(lab)


@shown(
    "irc-ignored",
    "irssi that must not change to TLS finds it among the capabilities, and registers with a password.",
    IRC_TOOLS,
    fires=["cleartext-credentials", "starttls-not-used"],
    expect=['irc.response.command == "CAP"', 'irc.request.command == "PASS"'],
    forbid=["tls"],
)
def irc_ignored(lab):
    inspircd(lab)
    with lab.recording():
        irssi(lab, 'starttls = "no"')


@shown(
    "irc-refused-left",
    "irssi that is told to change to TLS is refused by a server without a certificate, and waits.",
    IRC_TOOLS,
    expect=['irc.request.command == "STARTTLS"', "irc.response.num_command == 691"],
    forbid=["tls", 'tcp.payload contains "PASS"'],
)
def irc_refused_left(lab):
    inspircd(lab, tls=False)
    with lab.recording():
        irssi(lab, 'starttls = "yes"')


@shown(
    "irc-stripped",
    "irssi changes to TLS; later somebody on the way takes it out of the capabilities, and irssi registers with a password.",
    IRC_TOOLS,
    how="made",
    fires=["cleartext-credentials", "cleartext-protocol", "mixed-protection-host", "starttls-stripped"],
    expect=['irc.request.command == "STARTTLS"', 'irc.request.command == "PASS"'],
)
def irc_stripped(lab):
    inspircd(lab)
    with lab.recording():
        irssi(lab)
        with on_the_way.rewriting(lab, HOST, 6667, on_the_way.replacing(b" tls ", b" ")):
            irssi(lab)


# XMPP


def prosody(lab, tls=True):
    """A server with one account."""
    identity = lab.pki.server(HOST)
    files = home(lab, "prosody")
    lines = [
        "run_as_root = true",
        f'data_path = "{files}"; pidfile = "{files}/pid"; log = "{files}/log"',
        f'interfaces = {{ "{v4(HOST)}" }}; http_ports = {{}}; https_ports = {{}}; s2s_ports = {{}}',
        'authentication = "internal_plain"; c2s_require_encryption = false; allow_unencrypted_plain_auth = true',
        f'modules_enabled = {{ "saslauth"{", " + chr(34) + "tls" + chr(34) if tls else ""} }}',
        'modules_disabled = { "s2s", "presence", "message", "iq", "offline", "mimicking" }',
        f'VirtualHost "{HOST}"',
    ]
    if tls:
        lines += [
            f'ssl = {{ certificate = "{identity.chain}", key = "{identity.key}", protocol = "tlsv1_2" }}'
        ]
    configuration = files / "prosody.cfg.lua"
    configuration.write_text("\n".join(lines) + "\n")
    lab.run("prosodyctl", "--root", "--config", configuration, "register", USER, HOST, PASSWORD)
    lab.serve("prosody", "--root", "-F", "--config", configuration, port=5222)


SLIXMPP = """
import asyncio, sys, slixmpp
address, jid, password, root, tls = sys.argv[1:]
plain = {"feature_mechanisms": {"unencrypted_plain": True, "use_mech": "PLAIN"}}
client = slixmpp.ClientXMPP(jid, password, plugin_config=plain)
client.ca_certs = root
client.add_event_handler("session_start", lambda _: client.disconnect())
client.add_event_handler("failed_all_auth", lambda _: sys.exit("no login"))
client.connect((address, 5222), disable_starttls=tls == "ignored", force_starttls=tls == "upgraded")
client.loop.run_until_complete(asyncio.wait_for(client.disconnected, 15))
"""


def slixmpp(lab, how):
    """Python's slixmpp, as Debian has it."""
    lab.phone("/usr/bin/python3", "-c", SLIXMPP, v4(HOST), f"{USER}@{HOST}", PASSWORD, lab.pki.root, how)


@shown(
    "xmpp-upgraded",
    "slixmpp changes to TLS 1.2 before the login.",
    XMPP_TOOLS,
    expect=["xmpp.starttls", "xmpp.proceed", *CERTIFICATE],
    forbid=["xmpp.auth"],
)
def xmpp_upgraded(lab):
    prosody(lab)
    with lab.recording():
        slixmpp(lab, "upgraded")


@shown(
    "xmpp-ignored",
    "slixmpp logs in without TLS, which the server offers.",
    XMPP_TOOLS,
    fires=["cleartext-credentials", "starttls-not-used"],
    expect=["xmpp.auth"],
    forbid=["tls"],
)
def xmpp_ignored(lab):
    prosody(lab)
    with lab.recording():
        slixmpp(lab, "ignored")


@shown(
    "xmpp-stripped",
    "slixmpp changes to TLS; later somebody on the way takes the offer out of the features, and it logs in.",
    XMPP_TOOLS,
    how="made",
    fires=["cleartext-credentials", "cleartext-protocol", "starttls-stripped"],
    expect=["xmpp.proceed", *CERTIFICATE, "xmpp.auth"],
)
def xmpp_stripped(lab):
    prosody(lab)
    offer = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    with lab.recording():
        slixmpp(lab, "upgraded")
        with on_the_way.rewriting(lab, HOST, 5222, on_the_way.replacing(offer, b"")):
            slixmpp(lab, "offered")
