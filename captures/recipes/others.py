"""Other protocols that are readable by themselves."""

from .catalogue import capture
from .network import v4

HOST = "shop.test"
RULES = ["cleartext-credentials", "cleartext-protocol", "cleartext-unknown"]


def redis(file, shows, *words, fires, expect, forbid=()):
    """redis-cli gives one command."""

    @capture(
        f"others/{file}.pcap",
        shows=shows,
        tools=["redis-cli", "redis-server", "dnsmasq"],
        fires=fires,
        silent=[rule for rule in RULES if rule not in fires],
        expect=expect,
        forbid=forbid,
    )
    def record(lab):
        secured = ["--requirepass", "not-a-secret"] if "-a" in words else ["--protected-mode", "no"]
        lab.serve("redis-server", "--bind", v4(HOST), "--save", "", *secured, port=6379)
        with lab.recording():
            lab.phone("redis-cli", "-h", HOST, *words, "SET", "door", "open")

    record.__name__ = file.replace("-", "_")


redis(
    "redis-password",
    "redis-cli gives its password, and one command.",
    "-a",
    "not-a-secret",
    fires=["cleartext-credentials", "cleartext-protocol"],
    expect=['tcp.dstport == 6379 && tcp.payload contains "AUTH"'],
)
redis(
    "redis-open",
    "redis-cli gives one command to a server that asks for no password.",
    fires=["cleartext-protocol"],
    expect=['tcp.dstport == 6379 && tcp.payload contains "door"'],
    forbid=['tcp.payload contains "AUTH"'],
)
