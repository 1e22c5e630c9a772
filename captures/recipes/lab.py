"""The lab: a phone and the Internet, as two network namespaces joined by one wire.

`observer-phone` holds the clients and the recorder; `observer-net` holds the servers, each name with its own
address. Needs root, and touches nothing outside the two namespaces, `/etc/netns/observer-phone` and a
temporary directory.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .pki import Pki

PHONE, NET = "observer-phone", "observer-net"
PHONE_V4, GATEWAY_V4 = "10.215.173.1", "10.215.173.254"
PHONE_V6, GATEWAY_V6 = "fd00:215::1", "fd00:215::fe"

# Every server name, with the last part of its addresses 198.51.100.N and 2001:db8:100::N.
HOSTS = {
    "shop.test": 10,
    "api.shop.test": 11,
    "img.shop.test": 12,
    "a.img.shop.test": 14,
    "pay.shop.test": 13,
    "chat.test": 20,
    "sync.chat.test": 21,
    "news.test": 30,
    "weather.test": 40,
    "expired.test": 50,
    "self-signed.test": 51,
    "untrusted.test": 52,
    "wrong-name.test": 53,
    "not-yet.test": 54,
    "rsa1024.test": 55,
    "sha1.test": 56,
    "no-chain.test": 57,
    "mtls.test": 60,
    "legacy.test": 70,
    "redirect.test": 80,
    "proxy.test": 90,
    "cdn.test": 95,
    # What an Android phone asks to learn whether it is online; served by the lab like all else.
    "connectivitycheck.gstatic.com": 99,
}
ALIASES = {"www.shop.test": "cdn.test", "static.news.test": "edge.cdn.test", "edge.cdn.test": "cdn.test"}
# RFC 9460 HTTPS records: priority 1, target ".", alpn=h2, ipv4hint=198.51.100.10.
HTTPS_RECORDS = {"shop.test": "0001 00 0001 0003 02 6832 0004 0004 c633640a"}

# IP only, without the neighbour discovery and group membership that every Linux host emits.
PACKETS = "tcp or udp or (ip[6:2] & 0x1fff != 0) or ip6 proto 44"


def v4(host):
    return f"198.51.100.{HOSTS[host]}"


def v6(host):
    return f"2001:db8:100::{HOSTS[host]}"


def run(*command, **options):
    """Runs a command that must succeed."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, **options)


def enter(namespace):
    """Moves the calling thread, and what it starts, into a network namespace."""
    with open(f"/run/netns/{namespace}") as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def tlslite_settings(settings):
    """Handshake settings of tlslite-ng with some of them changed."""
    from tlslite.api import HandshakeSettings

    made = HandshakeSettings()
    for name, value in settings.items():
        setattr(made, name, value)
    return made


class Lab:
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
        run("ip", "link", "add", "wlan0", "netns", PHONE, "type", "veth", "peer", "name", "up0", "netns", NET)
        for namespace, device, addresses in (
            (PHONE, "wlan0", [f"{PHONE_V4}/24", f"{PHONE_V6}/64"]),
            (NET, "up0", [f"{GATEWAY_V4}/24", f"{GATEWAY_V6}/64"]),
        ):
            for address in addresses:
                run("ip", "-n", namespace, "addr", "add", address, "dev", device, *self._nodad(address))
            # A phone's radio has no segmentation offload worth speaking of; checksums are then filled in, too.
            self.exec(
                namespace, "ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off", "tx", "off", check=True
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
        arguments += ["--edns-packet-max=4096"]
        arguments += [f"--cname={alias},{target}" for alias, target in ALIASES.items()]
        arguments += [f"--dns-rr={host},65,{record.replace(' ', '')}" for host, record in HTTPS_RECORDS.items()]
        self.serve(
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
            "--pid-file=", f"--listen-address={GATEWAY_V4}", f"--listen-address={GATEWAY_V6}", "--bind-interfaces",
            "--local-ttl=300", "--local=/test/", "--local=/gstatic.com/", *arguments, port=53,
        )

    # Servers

    def serve(self, *command, port=None, stdin=subprocess.DEVNULL, cwd=None):
        """Starts a server in the net namespace and waits until it listens."""
        log = open(self.dir / f"{Path(str(command[0])).name}-{len(self._processes)}.log", "wb")
        process = subprocess.Popen(
            ["ip", "netns", "exec", NET, *map(str, command)], stdin=stdin, stdout=log, stderr=log, cwd=cwd or self.dir
        )
        self._processes.append(process)
        if port:
            self._await_port(port, process, log.name)
        return process

    def _await_port(self, port, process, log, namespace=NET):
        for _ in range(200):
            if process.poll() is not None:
                raise RuntimeError(f"a server ended early: {Path(log).read_text()}")
            listening = self.exec(namespace, "ss", "-Hltn", f"sport = :{port}").stdout
            if listening.strip():
                return
            time.sleep(0.05)
        raise RuntimeError(f"nothing listens on port {port}")

    def serve_python(self, function, host, port):
        """Runs `function(connection)` for each TCP connection to `host`, in a thread of the net namespace."""
        import socket

        ready, stop = threading.Event(), threading.Event()

        def accept():
            enter(NET)
            with socket.create_server((v4(host), port)) as listener:
                listener.settimeout(0.1)
                ready.set()
                while not stop.is_set():
                    with contextlib.suppress(OSError):
                        connection, _ = listener.accept()
                        threading.Thread(target=self._answer, args=(function, connection), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self._listeners.append((stop, thread))
        if not ready.wait(5):
            raise RuntimeError("the Python server did not start")

    @staticmethod
    def _answer(function, connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            function(connection)

    def nginx(self, *servers):
        """Starts one nginx with the given `server { … }` blocks."""
        root = self.dir / "www"
        root.mkdir(exist_ok=True)
        (root / "index.html").write_text("<!doctype html><title>Lab</title><p>Good day.\n")
        configuration = self.dir / "nginx.conf"
        configuration.write_text(
            f"daemon off; master_process off; user root; pid {self.dir}/nginx.pid; error_log {self.dir}/nginx.log;\n"
            "events { worker_connections 64; }\n"
            "http { access_log off; server_tokens off; default_type text/html; keepalive_timeout 5;\n"
            f"root {root}; client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy;\n"
            f"fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;\n"
            + "\n".join(servers)
            + "\n}\n"
        )
        port = 443 if any("listen" in server and ":443" in server for server in servers) else 80
        return self.serve("nginx", "-c", configuration, "-p", self.dir, port=port)

    def https(self, host, identity=None, *, options="", protocols="TLSv1.2 TLSv1.3", body="return 200 'ok\\n';", port=443):
        """An nginx server block that speaks TLS for `host`."""
        identity = identity or self.pki.server(host)
        return (
            f"server {{ listen {v4(host)}:{port} ssl; listen [{v6(host)}]:{port} ssl; server_name {host};\n"
            f"ssl_certificate {identity.chain}; ssl_certificate_key {identity.key}; ssl_protocols {protocols};\n"
            f"{options}\nlocation / {{ {body} }} }}"
        )

    def plain_http(self, host, *, options="", body="return 200 'ok\\n';", port=80):
        """An nginx server block that speaks HTTP without TLS for `host`."""
        return (
            f"server {{ listen {v4(host)}:{port}; listen [{v6(host)}]:{port}; server_name {host};\n"
            f"{options}\nlocation / {{ {body} }} }}"
        )

    def s_server(self, host, *options, identity=None, port=443, respond="-www"):
        """Starts `openssl s_server` for `host`; `-nocert` among the options leaves the certificate out."""
        if "-nocert" not in options:
            identity = identity or self.pki.server(host, key="rsa2048")
            options += ("-cert", identity.certificate, "-key", identity.key, "-cert_chain", identity.chain)
        respond = [respond] if respond else []
        return self.serve(
            "openssl", "s_server", "-accept", f"{v4(host)}:{port}", "-quiet", *respond, *options, port=port,
            # Without an answering mode it relays its standard input, and leaves when that ends.
            stdin=subprocess.DEVNULL if respond else subprocess.PIPE,
        )

    def gnutls_serv(self, host, priority, key="ec", *options):
        """Starts `gnutls-serv` for `host` with a priority string."""
        identity = self.pki.server(host, key=key)
        return self.serve(
            "gnutls-serv", "--quiet", "--http", "--disable-client-cert", "--port", 443, "--priority", priority, "--x509certfile",
            identity.chain, "--x509keyfile", identity.key, *options, port=443,
        )

    def tlslite_server(self, host, identity, **settings):
        """A server of tlslite-ng, a TLS stack in Python that still knows what others have forgotten."""
        from tlslite.api import TLSConnection, X509CertChain, parsePEMKey

        chain = X509CertChain()
        chain.parsePemList(identity.chain.read_text())
        key = parsePEMKey(identity.key.read_text(), private=True)

        def answer(connection):
            session = TLSConnection(connection)
            session.handshakeServer(certChain=chain, privateKey=key, settings=tlslite_settings(settings))
            session.recv(4096)
            session.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            session.close()

        self.serve_python(answer, host, 443)

    def net_hosts(self, hosts):
        """Lets programs in the net namespace resolve the lab's names."""
        settings = Path(f"/etc/netns/{NET}")
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "hosts").write_text("".join(f"{v4(host)} {host}\n" for host in hosts))

    def stop_servers(self):
        """Ends what the recipe started."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        for stop, thread in self._listeners:
            stop.set()
            thread.join(5)
        self._processes, self._listeners = [], []

    # Clients

    def exec(self, namespace, *command, check=False, timeout=40, **options):
        """Runs a command in a namespace, and keeps what it says."""
        result = subprocess.run(
            ["ip", "netns", "exec", namespace, *map(str, command)],
            capture_output=True,
            timeout=timeout,
            **({} if "input" in options else {"stdin": subprocess.DEVNULL}),
            **options,
        )
        if check and result.returncode != 0:
            raise RuntimeError(f"{command} failed: {result.stdout.decode()}{result.stderr.decode()}")
        return result

    def phone(self, *command, uid=None, fails=False, **options):
        """Runs a client on the phone, as an app's uid if given; `fails` says that it must not succeed."""
        if uid is not None:
            # Only the right to read files is kept: the repository may lie in a private home directory.
            command = (
                "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
                "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", *command,
            )
        result = self.exec(PHONE, *command, **options)
        if (result.returncode != 0) != fails:
            raise RuntimeError(f"{command} ended with {result.returncode}: {result.stdout} {result.stderr}")
        return result

    def curl(self, *arguments, **options):
        """curl, trusting the lab's root and nothing else."""
        trust = ["--cacert", self.pki.root]
        return self.phone("curl", "-sS", "-m", "10", *trust, *arguments, **options)

    def s_client(
        self, host, *options, request="GET / HTTP/1.0\r\n\r\n", port=443, fails=False, name=True, wait=0.4,
        renegotiate=False,
    ):
        """`openssl s_client`, which sends one request and waits for the answer.

        With `renegotiate`, a line `R` in the request is s_client's command for it and is not sent.
        """
        names = ["-servername", host] if name else ["-noservername"]
        command = [
            "ip", "netns", "exec", PHONE, "openssl", "s_client", "-connect", f"{v4(host)}:{port}", *names,
            "-CAfile", self.pki.root, *([] if renegotiate else ["-quiet", "-no_ign_eof"]), *map(str, options),
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with contextlib.suppress(BrokenPipeError):
            time.sleep(wait)
            for part in request.splitlines(keepends=True) if renegotiate else [request or ""]:
                if process.poll() is None and part:
                    process.stdin.write(part.encode())
                    process.stdin.flush()
                    time.sleep(wait)
            process.stdin.close()
        output = process.stdout.read()
        process.wait(20)
        if (process.returncode != 0) != fails:
            raise RuntimeError(f"{command} ended with {process.returncode}: {output}")
        return output

    def gnutls_cli(self, host, priority, *options, fails=False):
        """`gnutls-cli`, which sends one request."""
        self.phone(
            "gnutls-cli", "--priority", priority, "--x509cafile", self.pki.root, "--port", 443, "--sni-hostname", host,
            "--verify-hostname", host, *options, v4(host), input=b"GET / HTTP/1.0\r\n\r\n", fails=fails,
        )

    def tlslite_client(self, host, **settings):
        """A client of tlslite-ng, which sends one request and checks nothing."""
        from tlslite.api import TLSConnection

        from .clients import connect

        def ask():
            session = TLSConnection(connect(v4(host)))
            session.handshakeClientCert(serverName=host, settings=tlslite_settings(settings))
            session.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = session.recv(4096)
            session.close()
            return answer

        return self.on_phone(ask)

    def chromium(self, url, *options):
        """Chromium without a window, trusting exactly the keys of the lab's certificates."""
        profile = self.dir / "chromium"
        hashes = ",".join(self.pki.key_hashes())
        self.phone(
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={profile}",
            f"--ignore-certificate-errors-spki-list={hashes}", *options, "--dump-dom", url,
        )
        shutil.rmtree(profile, ignore_errors=True)

    def python(self, script, *arguments, **options):
        """Runs a Python script on the phone, in the recorder's virtual environment."""
        return self.phone(self.venv / "bin/python", "-c", script, *arguments, **options)

    def on_phone(self, function):
        """Calls a function in a thread of the phone's namespace and returns its result."""
        outcome = {}

        def call():
            try:
                enter(PHONE)
                outcome["value"] = function()
            except BaseException as error:
                outcome["error"] = error

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(60)
        if "error" in outcome:
            raise outcome["error"]
        return outcome.get("value")

    # Recording

    @contextlib.contextmanager
    def recording(self, device="wlan0", packets=PACKETS, namespace=PHONE, file=None, options=()):
        """Records what passes a device while the body runs."""
        file = file or self.out
        log = self.dir / f"tcpdump-{Path(file).stem}.log"
        with open(log, "wb") as errors:
            process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, "tcpdump", "-i", device, "-s", "0", "-B", "65536", "-U",
                 "--immediate-mode", "-Z", "root", *options, "-w", str(file), *([packets] if packets else [])],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
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
            ["ip", "netns", "exec", PHONE, "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
             "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "dnsmasq", "--keep-in-foreground",
             "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", f"--server={GATEWAY_V4}", "--pid-file=",
             "--listen-address=127.0.0.1", "--bind-interfaces"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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
