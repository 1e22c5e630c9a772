"""What the lab records, and what it does to the network while it does."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from .network import GATEWAY_V4, GATEWAY_V6, NET, PACKETS, PHONE, run


class Recorder:
    """The part of the lab that watches."""

    @contextlib.contextmanager
    def recording(self, device="wlan0", packets=PACKETS, namespace=PHONE, file=None, options=()):
        """Records what passes a device while the body runs."""
        file = file or self.out
        log = self.dir / f"tcpdump-{Path(file).stem}.log"
        with open(log, "wb") as errors:
            process = subprocess.Popen(
                [
                    "ip",
                    "netns",
                    "exec",
                    namespace,
                    "tcpdump",
                    "-i",
                    device,
                    "-s",
                    "0",
                    "-B",
                    "65536",
                    "-U",
                    "--immediate-mode",
                    "-Z",
                    "root",
                    *options,
                    "-w",
                    str(file),
                    *([packets] if packets else []),
                ],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        try:
            for _ in range(200):
                if b"listening on" in log.read_bytes():
                    break
                if process.poll() is not None:
                    raise RuntimeError(f"tcpdump: {log.read_text()}")
                time.sleep(0.02)
            yield file
            time.sleep(0.3)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
        if b"\n0 packets dropped by kernel" not in log.read_bytes():
            raise RuntimeError(f"tcpdump lost packets: {log.read_text()}")

    @contextlib.contextmanager
    def dropping(self, port):
        """Lets the net side ignore one port, as a firewall does."""
        rules = "add table inet wall; add chain inet wall input { type filter hook input priority 0; }"
        rules += f"; add rule inet wall input meta l4proto {{ tcp, udp }} th dport {port} drop"
        self.exec(NET, "nft", rules, check=True)
        try:
            yield
        finally:
            self.exec(NET, "nft", "delete table inet wall", check=True)

    @contextlib.contextmanager
    def owners(self, group=5):
        """Records netfilter's log of the phone's packets, which names the uid of each outgoing one."""
        rules = "add table inet lab"
        for chain, device in (("output", "oifname"), ("input", "iifname")):
            rules += f"; add chain inet lab {chain} {{ type filter hook {chain} priority 0; }}"
            rules += f'; add rule inet lab {chain} {device} "wlan0" log group {group} queue-threshold 1'
        self.exec(PHONE, "nft", rules, check=True)
        try:
            with self.recording(f"nflog:{group}", packets="", file=self.temporary("owners.pcap")) as file:
                yield file
        finally:
            self.exec(PHONE, "nft", "delete table inet lab", check=True)

    @contextlib.contextmanager
    def android_resolver(self, uid):
        """A caching resolver on the phone under netd's uid: apps ask it, and it asks the network, as on Android."""
        settings = Path(f"/etc/netns/{PHONE}/resolv.conf")
        before = settings.read_text()
        process = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                PHONE,
                "setpriv",
                f"--reuid={uid}",
                f"--regid={uid}",
                "--clear-groups",
                "--inh-caps=+net_bind_service",
                "--ambient-caps=+net_bind_service",
                "dnsmasq",
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--user=root",
                f"--server={GATEWAY_V4}",
                "--pid-file=",
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._await_port(53, process, os.devnull, PHONE)
            settings.write_text("nameserver 127.0.0.1\n")
            yield
        finally:
            settings.write_text(before)
            process.terminate()
            process.wait(5)

    @contextlib.contextmanager
    def bridged(self):
        """Puts the net side's end of the wire into a bridge: there, each packet passes two devices."""
        ends = ((f"{GATEWAY_V4}/24", []), (f"{GATEWAY_V6}/64", ["nodad"]))
        run("ip", "-n", NET, "link", "add", "br0", "type", "bridge")
        self._move(ends, "up0", "br0")
        run("ip", "-n", NET, "link", "set", "up0", "master", "br0")
        run("ip", "-n", NET, "link", "set", "br0", "up")
        try:
            yield
        finally:
            run("ip", "-n", NET, "link", "set", "up0", "nomaster")
            self._move(ends, "br0", "up0")
            run("ip", "-n", NET, "link", "del", "br0")

    @staticmethod
    def _move(addresses, old, new):
        for address, options in addresses:
            run("ip", "-n", NET, "addr", "del", address, "dev", old)
            run("ip", "-n", NET, "addr", "add", address, "dev", new, *options)

    def temporary(self, name):
        """A path for a capture that is not kept."""
        return self.dir / name
