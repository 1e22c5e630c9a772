"""The lab: a phone and the Internet, as two network namespaces joined by one wire.

`observer-phone` holds the clients and the recorder; `observer-net` holds the servers, each name with its own
address. Needs root, and touches nothing outside the two namespaces, `/etc/netns/observer-phone` and a
temporary directory.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from .network import (
    ALIASES,
    GATEWAY_V4,
    GATEWAY_V6,
    HOSTS,
    HTTPS_RECORDS,
    NET,
    PHONE,
    PHONE_V4,
    PHONE_V6,
    run,
    v4,
    v6,
)
from .pki import Pki
from .programs import Programs
from .recorder import Recorder
from .servers import Servers


class Lab(Servers, Programs, Recorder):
    """The two namespaces, the PKI, and whatever the current recipe started in them."""

    def __init__(self, work: Path):
        self.pki = Pki(work / "pki")
        self.venv = work / "venv"
        self.dir = Path(tempfile.mkdtemp(prefix="observer-lab-"))
        self.dir.chmod(0o755)
        self.out = None
        self._processes = []
        self._background = []
        self._listeners = []

    run = staticmethod(run)

    # Set-up

    def __enter__(self):
        self._namespaces()
        self._name_server()
        self._background, self._processes = self._processes, []
        return self

    def __exit__(self, *_):
        self.stop_servers()
        self._processes = self._background
        self.stop_servers()
        for namespace in (PHONE, NET):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
            shutil.rmtree(f"/etc/netns/{namespace}", ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _namespaces(self):
        for namespace in (PHONE, NET):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            for setting in ("accept_dad=0", "router_solicitations=0", "addr_gen_mode=1"):
                run("ip", "netns", "exec", namespace, "sysctl", "-w", f"net.ipv6.conf.default.{setting}")
            # No tail loss probes: on a busy machine they repeat segments that were never lost.
            run("ip", "netns", "exec", namespace, "sysctl", "-w", "net.ipv4.tcp_early_retrans=0")
        run("ip", "link", "add", "wlan0", "netns", PHONE, "type", "veth", "peer", "name", "up0", "netns", NET)
        for namespace, device, addresses in (
            (PHONE, "wlan0", [f"{PHONE_V4}/24", f"{PHONE_V6}/64"]),
            (NET, "up0", [f"{GATEWAY_V4}/24", f"{GATEWAY_V6}/64"]),
        ):
            for address in addresses:
                run("ip", "-n", namespace, "addr", "add", address, "dev", device, *self._nodad(address))
            # A phone's radio has no segmentation offload worth speaking of; checksums are then filled in, too.
            self.exec(
                namespace,
                "ethtool",
                "-K",
                device,
                "tso",
                "off",
                "gso",
                "off",
                "gro",
                "off",
                "tx",
                "off",
                check=True,
            )
            run("ip", "-n", namespace, "link", "set", device, "up")
        self._neighbours()
        for number in HOSTS.values():
            for address in (f"198.51.100.{number}/32", f"2001:db8:100::{number}/128"):
                run("ip", "-n", NET, "addr", "add", address, "dev", "lo", *self._nodad(address))
        run("ip", "-n", PHONE, "route", "add", "default", "via", GATEWAY_V4)
        run("ip", "-n", PHONE, "-6", "route", "add", "default", "via", GATEWAY_V6)
        settings = Path(f"/etc/netns/{PHONE}")
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "resolv.conf").write_text(f"nameserver {GATEWAY_V4}\noptions timeout:1 attempts:2\n")

    def _neighbours(self):
        """Tells both ends of the wire the other's IPv6 neighbour: without link-local addresses, finding it is slow."""
        ends = ((PHONE, "wlan0", PHONE_V6), (NET, "up0", GATEWAY_V6))
        for (side, device, _), (other, other_device, address) in (ends, ends[::-1]):
            shown = run("ip", "-n", other, "-br", "link", "show", other_device, text=True).stdout.split()
            run("ip", "-n", side, "neigh", "replace", address, "lladdr", shown[2], "dev", device)

    @staticmethod
    def _nodad(address):
        return ["nodad"] if ":" in address else []

    def _name_server(self):
        arguments = [f"--host-record={host},{v4(host)},{v6(host)}" for host in HOSTS]
        arguments += [f"--address=/{name}/{v4('shop.test')}" for name in ("one.test", "two.test")]
        # Thirteen strings of 230 bytes: an answer beyond any MTU.
        arguments += ["--txt-record=big.test," + ",".join(f"{n:02}" + "x" * 228 for n in range(13))]
        # RFC 9460: priority 1, target ".", the key for Encrypted Client Hello.
        _, configs = self.pki.hello_key("shop.test")
        service = b"\x00\x01\x00\x00\x05" + len(configs).to_bytes(2, "big") + configs
        arguments += [f"--dns-rr=two.test,65,{service.hex()}"]
        arguments += ["--edns-packet-max=4096"]
        arguments += [f"--cname={alias},{target}" for alias, target in ALIASES.items()]
        arguments += [
            f"--dns-rr={host},65,{record.replace(' ', '')}" for host, record in HTTPS_RECORDS.items()
        ]
        self.serve(
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
            f"--listen-address={GATEWAY_V4}",
            f"--listen-address={GATEWAY_V6}",
            "--bind-interfaces",
            "--local-ttl=300",
            "--local=/test/",
            "--local=/gstatic.com/",
            *arguments,
            port=53,
        )
