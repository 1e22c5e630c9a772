"""Somebody on the way between the phone and a server, who changes what passes: no program does by itself."""

import contextlib
import socket
import threading
import time

from .network import NET, v4

RELAY = 4000


@contextlib.contextmanager
def rewriting(lab, host, port, change):
    """Leads the phone's connections to a port of `host` through a relay while the body runs.

    `change(to_server, data, back)` gets each piece that passes, and returns what is passed on in its place; what it
    calls `back` with goes to where the piece came from.
    """

    def relay(connection):
        with socket.create_connection((v4(host), port), timeout=10) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=pass_on, args=(server, connection, False), daemon=True)
            back.start()
            pass_on(connection, server, True)
            back.join(10)

    def pass_on(source, target, to_server):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(change(to_server, data, source.sendall))
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    lab.serve_python(relay, host, RELAY)
    rules = "add table ip way; add chain ip way in { type nat hook prerouting priority dstnat; }"
    rules += f"; add rule ip way in ip daddr {v4(host)} tcp dport {port} dnat to {v4(host)}:{RELAY}"
    lab.exec(NET, "nft", rules, check=True)
    try:
        yield
        # Without the rule, the last packets of a connection are not led through the relay any more.
        time.sleep(0.3)
    finally:
        lab.exec(NET, "nft", "delete table ip way", check=True)


def replacing(old, new):
    """A change of what the server says: each `old` becomes `new`."""
    return lambda to_server, data, _: data if to_server else data.replace(old, new)
