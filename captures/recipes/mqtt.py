"""MQTT as mosquitto's clients speak it to mosquitto: without TLS, within it, and over WebSocket."""

import threading
import time

from .catalogue import capture
from .network import v4

HOST = "chat.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]


def broker(lab, port, tls, *settings, address=v4(HOST), before=()):
    """mosquitto, which lets everybody in."""
    lines = ["user root", "allow_anonymous true", *before, f"listener {port} {address}".rstrip(), *settings]
    if tls:
        identity = lab.pki.server(HOST)
        lines += [f"certfile {identity.chain}", f"keyfile {identity.key}"]
    configuration = lab.dir / "mosquitto.conf"
    configuration.write_text("\n".join([*lines, ""]))
    lab.serve("mosquitto", "-c", configuration, port=port)


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
        port = 8883 if tls else 1883
        broker(lab, port, tls)
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


@capture(
    "mqtt/subscribe-5.pcap",
    shows="mosquitto_sub waits for a message in MQTT 5, and gets what mosquitto_pub sends.",
    tools=["mosquitto_sub", "mosquitto_pub", "mosquitto", "dnsmasq"],
    fires=["cleartext-protocol"],
    silent=["cleartext-credentials", "cleartext-unknown"],
    expect=["mqtt.msgtype == 8", "mqtt.msgtype == 3 && tcp.srcport == 1883"],
)
def subscribe(lab):
    broker(lab, 1883, tls=False)
    words = ["-h", HOST, "-V", "5", "-t", "home/door"]
    with lab.recording():
        waits = threading.Thread(target=lab.phone, args=("mosquitto_sub", *words, "-C", "1", "-W", "5"))
        waits.start()
        time.sleep(0.5)
        lab.phone("mosquitto_pub", *words, "-m", "open")
        waits.join()


# MQTT as browsers and apps beside them speak it: paho's client over WebSocket.
SCRIPT = """
import sys, threading
from paho.mqtt import client as mqtt
host, port, root = sys.argv[1:]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "phone", transport="websockets", protocol=mqtt.MQTTv5)
client.username_pw_set("anna", "not-a-secret")
if root != "none":
    client.tls_set(root)
done = threading.Event()
client.on_connect = lambda client, *_: client.subscribe("home/door")
client.on_subscribe = lambda client, *_: client.publish("home/door", "open")
client.on_message = lambda *_: done.set()
client.connect(host, int(port))
client.loop_start()
if not done.wait(5):
    sys.exit("no message came")
client.disconnect()
client.loop_stop()
"""


def over_websocket(file, shows, tls, expect, fires=(), forbid=()):
    """paho subscribes to what it publishes, with a password."""

    @capture(
        f"mqtt/{file}.pcap",
        shows=shows,
        tools=["paho", "mosquitto", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in [*RULES, "cleartext-websocket"] if rule not in fires],
        expect=expect,
        forbid=forbid,
    )
    def record(lab):
        port = 8084 if tls else 8083
        # A listener for WebSocket has no address, and is not enough to begin with.
        broker(lab, port, tls, "protocol websockets", address="", before=["listener 1883 127.0.0.1"])
        with lab.recording():
            lab.python(SCRIPT, HOST, port, lab.pki.root if tls else "none")

    record.__name__ = file.replace("-", "_")


over_websocket(
    "websocket",
    "paho gives a password, subscribes and publishes in MQTT 5 over WebSocket without TLS.",
    False,
    ["http.response.code == 101", "websocket.payload_length == 40"],
    fires=["cleartext-credentials", "cleartext-websocket"],
)
over_websocket(
    "websocket-tls",
    "paho gives a password, subscribes and publishes in MQTT 5 over WebSocket and TLS.",
    True,
    ["tls.handshake.type == 1"],
    forbid=["websocket", "mqtt"],
)
