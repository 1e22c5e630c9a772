"""The servers of the lab: how each program is started, and how all of them are stopped."""

import contextlib
import socket
import subprocess
import threading
import time
from pathlib import Path

from .network import NET, enter, v4, v6


def tlslite_settings(settings):
    """Handshake settings of tlslite-ng with some of them changed."""
    from tlslite.api import HandshakeSettings

    made = HandshakeSettings()
    for name, value in settings.items():
        setattr(made, name, value)
    return made


class Servers:
    """The part of the lab that answers."""

    def serve(
        self,
        *command,
        port=None,
        udp=None,
        stdin=subprocess.DEVNULL,
        cwd=None,
        namespace=NET,
        patience=10,
    ):
        """Starts a server, in the net namespace by default, and waits, some seconds, until it listens on a port."""
        log = open(self.dir / f"{Path(str(command[0])).name}-{len(self._processes)}.log", "wb")
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *map(str, command)],
            stdin=stdin,
            stdout=log,
            stderr=log,
            cwd=cwd or self.dir,
        )
        self._processes.append(process)
        if port:
            self._await_port(port, process, log.name, namespace, patience=patience)
        if udp:
            self._await_port(udp, process, log.name, namespace, sockets="u", patience=patience)
        return process

    def _await_port(self, port, process, log, namespace=NET, sockets="t", patience=10):
        for _ in range(patience * 20):
            if process.poll() is not None:
                raise RuntimeError(f"a server ended early: {Path(log).read_text()}")
            listening = self.exec(namespace, "ss", f"-Hl{sockets}n", f"sport = :{port}").stdout
            if listening.strip():
                return
            time.sleep(0.05)
        raise RuntimeError(f"nothing listens on port {port}")

    def serve_python(self, function, host, port):
        """Runs `function(connection)` for each TCP connection to `host`, in a thread of the net namespace."""

        ready, stop = threading.Event(), threading.Event()

        def accept():
            enter(NET)
            with socket.create_server((v4(host), port)) as listener:
                listener.settimeout(0.1)
                ready.set()
                while not stop.is_set():
                    with contextlib.suppress(OSError):
                        connection, _ = listener.accept()
                        threading.Thread(
                            target=self._answer, args=(function, connection), daemon=True
                        ).start()

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

    def https(
        self,
        host,
        identity=None,
        *,
        options="",
        protocols="TLSv1.2 TLSv1.3",
        body="return 200 'ok\\n';",
        port=443,
    ):
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
            "openssl",
            "s_server",
            "-accept",
            f"{v4(host)}:{port}",
            "-quiet",
            *respond,
            *options,
            port=port,
            # Without an answering mode it relays its standard input, and leaves when that ends.
            stdin=subprocess.DEVNULL if respond else subprocess.PIPE,
        )

    def gnutls_serv(self, host, priority, key="ec", *options):
        """Starts `gnutls-serv` for `host` with a priority string."""
        identity = self.pki.server(host, key=key)
        return self.serve(
            "gnutls-serv",
            "--quiet",
            "--http",
            "--disable-client-cert",
            "--port",
            443,
            "--priority",
            priority,
            "--x509certfile",
            identity.chain,
            "--x509keyfile",
            identity.key,
            *options,
            port=443,
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
