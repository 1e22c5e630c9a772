"""AMQP as real clients speak it to RabbitMQ: 0-9-1 and 1.0, without TLS, within it, and changing to it."""

import os
import signal
import socket

from . import clients
from .catalogue import capture
from .network import v4

HOST = "chat.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]
USER, PASSWORD = "anna", "not-a-secret"

PIKA = """
import ssl, sys
import pika

host, port, user, password, root = sys.argv[1:]
options = dict(host=host, port=int(port), virtual_host="/", credentials=pika.PlainCredentials(user, password))
if root:
    context = ssl.create_default_context(cafile=root)
    options["ssl_options"] = pika.SSLOptions(context, host)
connection = pika.BlockingConnection(pika.ConnectionParameters(**options))
channel = connection.channel()
channel.queue_declare("orders", auto_delete=True)
channel.basic_publish("", "orders", b"two coffees")
connection.close()
"""

PROTON = """
import sys
from proton import Message
from proton.utils import BlockingConnection

url, mechanisms, user, password = sys.argv[1:]
login = dict(user=user, password=password) if user else {}
connection = BlockingConnection(url, allowed_mechs=mechanisms, allow_insecure_mechs=True, timeout=10, **login)
sender = connection.create_sender("orders")
sender.send(Message("two coffees"))
connection.close()
"""


def rabbitmq(lab, *, tls=False):
    """RabbitMQ with one account, on 5672, or on 5671 within TLS."""
    home = lab.dir / "rabbitmq"
    home.mkdir(exist_ok=True)
    address = v4(HOST)
    settings = [
        f"default_user = {USER}",
        f"default_pass = {PASSWORD}",
        "loopback_users = none",
        f"amqp1_0.default_user = {USER}",
        "auth_mechanisms.1 = PLAIN",
        "auth_mechanisms.2 = AMQPLAIN",
        "auth_mechanisms.3 = RABBIT-CR-DEMO",
        "auth_mechanisms.4 = ANONYMOUS",
        "log.console = true",
    ]
    if tls:
        identity = lab.pki.server(HOST)
        settings += [
            "listeners.tcp = none",
            f"listeners.ssl.1 = {address}:5671",
            f"ssl_options.certfile = {identity.chain}",
            f"ssl_options.keyfile = {identity.key}",
            "ssl_options.verify = verify_none",
            "ssl_options.versions.1 = tlsv1.3",
        ]
    else:
        settings.append(f"listeners.tcp.1 = {address}:5672")
    (home / "rabbitmq.conf").write_text("\n".join(settings) + "\n")
    (home / "enabled_plugins").write_text("[rabbitmq_amqp1_0].\n")
    environment = {
        "HOME": home,
        "RABBITMQ_NODENAME": "lab@localhost",
        "RABBITMQ_CONFIG_FILE": home / "rabbitmq.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": home / "enabled_plugins",
        "RABBITMQ_MNESIA_BASE": home / "mnesia",
        "RABBITMQ_LOG_BASE": home / "log",
        "RABBITMQ_PID_FILE": home / "pid",
    }
    lab.serve("epmd", port=4369)
    variables = [f"{name}={value}" for name, value in environment.items()]
    port = 5671 if tls else 5672
    lab.serve("env", *variables, "/usr/lib/rabbitmq/bin/rabbitmq-server", port=port, patience=60)


def stop_rabbitmq(lab):
    # The script would ask a second Erlang to stop the first; the signal does the same at once.
    os.kill(int((lab.dir / "rabbitmq" / "pid").read_text()), signal.SIGKILL)


def session(file, shows, client, *, fires, expect, forbid=(), tls=False, tools):
    """One session of `client(lab)` with RabbitMQ."""

    @capture(
        f"others/{file}.pcap",
        shows=shows,
        tools=[*tools, "rabbitmq-server", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=expect,
        forbid=forbid,
    )
    def record(lab):
        rabbitmq(lab, tls=tls)
        try:
            with lab.recording():
                client(lab)
        finally:
            stop_rabbitmq(lab)

    record.__name__ = file.replace("-", "_")


def pika(lab, port=5672, root=""):
    lab.python(PIKA, HOST, port, USER, PASSWORD, root)


def proton(lab, mechanisms, user=""):
    url = f"amqp://{HOST}:5672"
    lab.phone("/usr/bin/python3", "-c", PROTON, url, mechanisms, user, PASSWORD if user else "")


session(
    "amqp-091-password",
    "pika logs in with PLAIN in AMQP 0-9-1 and publishes a message.",
    pika,
    tools=["pika"],
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=['tcp.payload contains "not-a-secret"', 'amqp.method.arguments.routing_key == "orders"'],
)
session(
    "amqp-091-refused",
    "amqp-publish (rabbitmq-c) sends a wrong password in AMQP 0-9-1 and is turned away.",
    lambda lab: lab.phone("amqp-publish", "-u", f"amqp://{USER}:not-this-one@{HOST}", "-r", "orders", "-b", "two coffees", fails=True),
    tools=["amqp-publish"],
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=['tcp.payload contains "not-this-one"', "amqp.method.arguments.reply_code == 403"],
)
session(
    "amqp-tls",
    "pika logs in and publishes a message in AMQP 0-9-1 over TLS 1.3.",
    lambda lab: pika(lab, 5671, lab.pki.root),
    tools=["pika"],
    fires=[],
    expect=["tls.handshake.type == 2"],
    forbid=["amqp"],
    tls=True,
)
session(
    "amqp-10-password",
    "qpid-proton logs in with PLAIN in AMQP 1.0 and sends a message.",
    lambda lab: proton(lab, "PLAIN", USER),
    tools=["qpid-proton"],
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=["amqp.performative == 20", 'tcp.payload contains "not-a-secret"'],
)
session(
    "amqp-10-anonymous",
    "qpid-proton sends a message in AMQP 1.0 with SASL ANONYMOUS: readable, and without a secret.",
    lambda lab: proton(lab, "ANONYMOUS"),
    tools=["qpid-proton"],
    fires=["cleartext-protocol"],
    expect=["amqp.performative == 20", 'tcp.dstport == 5672 && tcp.payload contains "ANONYMOUS"'],
    forbid=['tcp.payload contains "not-a-secret"'],
)


@capture(
    "others/amqp-10-upgraded.pcap",
    shows="A client and a server of AMQP 1.0 agree on TLS by the header with protocol id 2, and TLS 1.3 follows.",
    tools=["python3", "dnsmasq"],
    how="made",
    silent=[*RULES, "starttls-not-used", "starttls-stripped"],
    expect=["tcp.payload[0:8] == 41:4d:51:50:02:01:00:00", "tcp.payload[0:6] == 16:03:03:00:7a:02"],
)
def amqp_10_upgraded(lab):
    import ssl

    header = b"AMQP\x02\x01\x00\x00"
    identity = lab.pki.server(HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.chain, identity.key)

    def answer(connection):
        if connection.recv(8, socket.MSG_WAITALL) == header:
            connection.sendall(header)
            with context.wrap_socket(connection, server_side=True) as session:
                session.sendall(session.recv(8))

    def ask():
        with clients.connect(v4(HOST), 5672) as connection:
            connection.sendall(header)
            connection.recv(8, socket.MSG_WAITALL)
            # Within TLS the client begins anew (part 2 section 2.2).
            clients.tls_exchange(connection, clients.context(lab.pki.root), HOST, b"AMQP\x03\x01\x00\x00")

    lab.serve_python(answer, HOST, 5672)
    with lab.recording():
        lab.phone("getent", "ahostsv4", HOST)
        lab.on_phone(ask)
