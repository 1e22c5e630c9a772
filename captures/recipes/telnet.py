"""Telnet: a login at a prompt, without TLS and behind it, and a port that is only called so."""

import os
import select
import subprocess
import time

from . import clients
from .catalogue import capture
from .network import PHONE, v4

HOST = "legacy.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "starttls-not-used", "starttls-stripped"]
LOGIN = [(b"login: ", b"anna"), (b"assword: ", b"not-a-secret"), (b"incorrect", b"")]


def telnetd(lab, *options):
    """netkit's telnetd for one session, with the system's own login: nobody there is called anna."""
    lab.serve("/usr/sbin/in.telnetd", "-debug", 23, "-N", "-L", "/bin/login", *options, port=23)


def type_into(command, steps):
    """Runs a client on the phone, and types each answer once its prompt is there."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", PHONE, *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm", "USER": "anna"},
    )
    try:
        for prompt, answer in steps:
            shown, end = b"", time.monotonic() + 15
            while prompt not in shown:
                if not select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                    raise RuntimeError(f"no {prompt} in {shown}")
                part = os.read(process.stdout.fileno(), 4096)
                if not part:
                    raise RuntimeError(f"the client ended after {shown}")
                shown += part
            if answer:
                os.write(process.stdin.fileno(), answer + b"\n")
    finally:
        process.terminate()
        process.wait(5)


@capture(
    "others/telnet-login.pcap",
    shows="telnet (inetutils) shows a login prompt, and a user types a name and a password.",
    tools=["inetutils-telnet", "in.telnetd", "dnsmasq"],
    fires=["cleartext-credentials", "cleartext-protocol"],
    silent=["cleartext-unknown", "starttls-not-used", "starttls-stripped"],
    expect=["telnet.cmd == 253", 'telnet.data contains "assword"'],
    forbid=["tls"],
)
def telnet_login(lab):
    telnetd(lab)
    with lab.recording():
        type_into(["inetutils-telnet", "-4", HOST], LOGIN)


@capture(
    "others/telnet-left.pcap",
    shows="telnet (inetutils) shows a login prompt, and the user leaves without typing anything.",
    tools=["inetutils-telnet", "in.telnetd", "dnsmasq"],
    fires=["cleartext-protocol"],
    silent=["cleartext-credentials", "cleartext-unknown"],
    expect=["telnet.cmd == 253", 'telnet.data contains "login"'],
)
def telnet_left(lab):
    telnetd(lab)
    with lab.recording():
        type_into(["inetutils-telnet", "-4", HOST], [(b"login: ", b"")])


@capture(
    "others/telnet-upgraded.pcap",
    shows="telnet-ssl and telnetd-ssl agree on TLS by the option AUTHENTICATION, and the login is within.",
    tools=["telnet-ssl", "in.telnetd", "dnsmasq"],
    silent=RULES,
    expect=["telnet.cmd == 253", "tcp.payload[0:2] == 16:03", "tcp.payload contains ff:fa:25:02:07"],
    forbid=['tcp.payload contains "not-a-secret"'],
)
def telnet_upgraded(lab):
    identity = lab.pki.server(HOST, key="rsa2048")
    telnetd(lab, "-z", f"cert={identity.chain}", "-z", f"key={identity.key}")
    with lab.recording():
        type_into(["telnet-ssl", "-4", "-z", "secure", "-z", f"cacert={lab.pki.root}", HOST], LOGIN)


@capture(
    "others/telnet-port.pcap",
    shows="A device answers on telnet's port with a line of text and no option: it is text of nobody, and not telnet.",
    tools=["python3", "dnsmasq"],
    how="made",
    fires=["cleartext-unknown"],
    silent=["cleartext-credentials", "cleartext-protocol"],
    expect=["tcp.port == 23"],
    forbid=["telnet.cmd"],
)
def telnet_port(lab):
    def answer(connection):
        connection.sendall(b"Password: ")
        connection.recv(100)
        connection.sendall(b"\r\nTemperature 21.5, humidity 40\r\n")

    def ask():
        with clients.connect(v4(HOST), 23) as connection:
            connection.recv(100)
            connection.sendall(b"not-a-secret\r\n")
            connection.recv(100)

    lab.serve_python(answer, HOST, 23)
    with lab.recording():
        lab.on_phone(ask)
