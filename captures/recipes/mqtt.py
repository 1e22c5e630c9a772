"""MQTT as mosquitto's clients speak it to mosquitto: without TLS, within it, and over WebSocket."""

from .catalogue import capture
from .network import v4

HOST = "chat.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]


def publish(file, shows, *options, expect, fires=(), forbid=(), tls=False):
    """mosquitto_pub sends one message."""

    @capture(
        f"mqtt/{file}.pcap",
        shows=shows,
        tools=["mosquitto_pub", "mosquitto", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=expect,
        forbid=forbid,
    )
    def record(lab):
        identity = lab.pki.server(HOST)
        port = 8883 if tls else 1883
        settings = f"user root\nallow_anonymous true\nlistener {port} {v4(HOST)}\n"
        if tls:
            settings += f"certfile {identity.chain}\nkeyfile {identity.key}\n"
        configuration = lab.dir / "mosquitto.conf"
        configuration.write_text(settings)
        lab.serve("mosquitto", "-c", configuration, port=port)
        secure = ["--cafile", lab.pki.root] if tls else []
        with lab.recording():
            lab.phone(
                "mosquitto_pub", "-h", HOST, "-p", port, *secure, *options, "-t", "home/door", "-m", "open"
            )

    record.__name__ = file.replace("-", "_")


publish(
    "publish-311",
    "mosquitto_pub sends a message in MQTT 3.1.1, without a password.",
    "-V",
    "311",
    fires=["cleartext-protocol"],
    expect=["mqtt.ver == 4", 'mqtt.topic == "home/door"'],
    forbid=["mqtt.passwd"],
)
publish(
    "publish-5-password",
    "mosquitto_pub sends a user name, a password and a message in MQTT 5.",
    "-V",
    "5",
    "-u",
    "anna",
    "-P",
    "not-a-secret",
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=["mqtt.ver == 5", 'mqtt.passwd == "not-a-secret"'],
)
publish(
    "publish-tls",
    "mosquitto_pub sends a user name, a password and a message in MQTT 5 over TLS.",
    "-V",
    "5",
    "-u",
    "anna",
    "-P",
    "not-a-secret",
    expect=["tls.handshake.type == 1"],
    forbid=["mqtt"],
    tls=True,
)
