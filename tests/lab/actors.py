"""The apps of the lab: each case is a process of its own under a uid of its own, and writes down the flows that it makes.

    actors.py LINGER LOCAL4 LOCAL6 PEER4 PEER6 [CASE]...

Opens first what is to be open before a capture starts and says `open`; runs the cases when a line comes on standard
input, and says `done`; what listens goes on until the next line. A flow is a line of JSON: case, uid, pid, transport,
local and remote end, as the socket itself tells them. What is not short stays open for LINGER seconds.
"""

import ctypes
import inspect
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

ECHO, SINK, SILENT, REFUSED = 5007, 5009, 5011, 5999
LINGER = float(sys.argv[1])
LOCAL4, LOCAL6, PEER4, PEER6 = sys.argv[2:6]
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM

CASES = {}


def case(uid):
    """Registers a function as a case that runs under `uid`; a generator opens something before its `yield`."""

    def register(function):
        CASES[function.__name__.replace("_", "-")] = (uid, function)
        return function

    return register


def say(sock, remote=None, uid=None, local=None):
    """Writes down the flow of a socket."""
    end = (local or sock.getsockname())[:2]
    remote = (remote or sock.getpeername())[:2]
    plain = lambda end: [end[0].removeprefix("::ffff:"), end[1]]
    flow = {
        "case": CASE,
        "uid": os.getuid() if uid is None else uid,
        "pid": os.getpid(),
        "transport": "tcp" if sock.type == TCP else "udp",
        "local": plain(end),
        "remote": plain(remote),
    }
    # One write of less than PIPE_BUF bytes: lines of many processes do not mix.
    os.write(1, json.dumps(flow).encode() + b"\n")


def open_socket(kind, peer):
    return socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, kind)


def talk(kind, peer, payload=b"hello"):
    """Connects, sends, hears the echo, closes."""
    with open_socket(kind, peer) as sock:
        sock.settimeout(5)
        sock.connect((peer, ECHO))
        say(sock)
        sock.send(payload)
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(10101)
def tcp4():
    talk(TCP, PEER4)


@case(10102)
def tcp6():
    talk(TCP, PEER6)


@case(10103)
def udp4_connected():
    talk(UDP, PEER4)


@case(10104)
def udp6_connected():
    talk(UDP, PEER6)


def unconnected(peer, address):
    with open_socket(UDP, peer) as sock:
        sock.settimeout(5)
        for port in (ECHO, SILENT):
            sock.sendto(b"hello", (peer, port))
            say(sock, remote=(peer, port), local=(address, sock.getsockname()[1]))
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(10105)
def udp4_unconnected():
    unconnected(PEER4, LOCAL4)


@case(10106)
def udp6_unconnected():
    unconnected(PEER6, LOCAL6)


@case(10107)
def tcp_v4_mapped():
    with socket.socket(socket.AF_INET6, TCP) as sock:
        sock.connect(("::ffff:" + PEER4, ECHO))
        say(sock)
        sock.send(b"hello")
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(10108)
def udp_v4_mapped():
    with socket.socket(socket.AF_INET6, UDP) as sock:
        sock.sendto(b"hello", ("::ffff:" + PEER4, ECHO))
        say(sock, remote=(PEER4, ECHO), local=(LOCAL4, sock.getsockname()[1]))
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(10109)
def inherited_by_fork():
    with open_socket(TCP, PEER4) as sock:
        sock.connect((PEER4, ECHO))
        say(sock)
        if os.fork() == 0:
            sock.send(b"from the child")
            sock.recv(1 << 16)
            time.sleep(LINGER)
            os._exit(0)
        os.wait()


@case(10110)
def inherited_by_exec():
    with open_socket(TCP, PEER4) as sock:
        sock.connect((PEER4, ECHO))
        say(sock)
        script = f"echo hello >&{sock.fileno()}; read answer <&{sock.fileno()}"
        subprocess.run(["sh", "-c", script], pass_fds=[sock.fileno()], check=True)
        time.sleep(LINGER)


@case(10111)
def threads():
    several = [threading.Thread(target=talk, args=(kind, PEER4)) for kind in (TCP, UDP) for _ in range(8)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()


@case(10112)
def short_tcp():
    for payload in (b"", b"x") * 10:
        with open_socket(TCP, PEER4) as sock:
            sock.connect((PEER4, SINK))
            say(sock)
            if payload:
                sock.send(payload)


@case(10113)
def short_udp():
    for _ in range(20):
        with open_socket(UDP, PEER4) as sock:
            sock.connect((PEER4, SILENT))
            say(sock)
            sock.send(b"x")


@case(10114)
def refused():
    with open_socket(TCP, PEER4) as sock:
        # The port is known before the connection fails.
        sock.bind((LOCAL4, 0))
        say(sock, remote=(PEER4, REFUSED))
        sock.connect_ex((PEER4, REFUSED))


@case(10115)
def tcp_before():
    with open_socket(TCP, PEER4) as sock:
        sock.connect((PEER4, ECHO))
        say(sock)
        yield
        sock.send(b"hello")
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(10116)
def udp_before():
    with open_socket(UDP, PEER6) as sock:
        sock.connect((PEER6, ECHO))
        say(sock)
        yield
        sock.send(b"hello")
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(10117)
def listens():
    with socket.create_server((LOCAL4, 8117)):
        yield
        time.sleep(HOLD)


@case(10118)
def answers_udp():
    with socket.socket(socket.AF_INET6, UDP) as sock:
        sock.bind(("::", 8118))
        yield
        sock.settimeout(HOLD)
        try:
            data, peer = sock.recvfrom(1 << 16)
            sock.sendto(data, peer)
        except TimeoutError:
            pass


@case(10150)
def shared_uid():
    talk(TCP, PEER4)


@case(1010123)
def second_user():
    talk(TCP, PEER4)


@case(20123)
def sdk_sandbox():
    talk(TCP, PEER4)


@case(99001)
def isolated():
    talk(TCP, PEER4)


@case(10199)
def not_listed():
    talk(TCP, PEER4)


@case(10120)
def large_segments():
    with open_socket(TCP, PEER4) as sock:
        sock.connect((PEER4, SINK))
        say(sock)
        sock.sendall(bytes(4 << 20))
        time.sleep(LINGER)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)


@case(0)
def given_away():
    # As netd does with the sockets that it asks DNS servers through.
    with open_socket(UDP, PEER4) as sock:
        os.fchown(sock.fileno(), 10121, 10121)
        sock.connect((PEER4, ECHO))
        say(sock, uid=10121)
        sock.send(b"hello")
        sock.recv(1 << 16)
        time.sleep(LINGER)


@case(0)
def port_used_again():
    # Several uids, the same two ends, one after the other within milliseconds.
    for uid in (10130, 10131, 10132, 10133):
        child = os.fork()
        if child == 0:
            become(uid)
            with open_socket(TCP, PEER4) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Closed by a reset: nothing waits, and the port is free at once.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.bind((LOCAL4, 45000))
                sock.connect((PEER4, ECHO))
                say(sock)
                sock.send(b"hello")
                sock.recv(1 << 16)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit("a child failed")


def loopback(address):
    """A server and a client of two uids, both of this system: the flow is the client's, who begins it."""
    server = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    child = os.fork()
    if child == 0:
        become(os.getuid())
        stream, _ = server.accept()
        stream.send(stream.recv(100))
        os._exit(0)
    become(10141)
    with open_socket(TCP, address) as sock:
        sock.connect(server.getsockname()[:2])
        say(sock)
        sock.send(b"hello")
        sock.recv(100)
        time.sleep(LINGER)
    os.waitpid(child, 0)


@case(0)
def loopback4():
    loopback("127.0.0.1")


@case(0)
def loopback6():
    loopback("::1")


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def after_start(function):
    """A case that opens nothing before the capture starts."""

    def work():
        yield
        function()

    return work


def child(name, opened, go):
    """One case in a process of its own."""
    global CASE
    CASE = name
    uid, function = CASES[name]
    # The name that the kernel knows a process by, as Android gives it to apps (PR_SET_NAME).
    ctypes.CDLL(None).prctl(15, name.encode()[:15], 0, 0, 0)
    if uid:
        become(uid)
    work = (function if inspect.isgeneratorfunction(function) else after_start(function))()
    next(work)
    os.write(opened, b".")
    os.read(go, 1)
    next(work, None)


# What waits for somebody outside goes on for so many seconds at most.
HOLD = 20
LASTING = ("listens", "answers-udp")


def main():
    names = sys.argv[6:] or list(CASES)
    opened_read, opened = os.pipe()
    go, go_write = os.pipe()
    children = {}
    for name in names:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(name, opened, go)
                status = 0
            except BaseException as error:  # Whatever it is, the harness must hear of it.
                print(f"{name}: {error!r}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        children[pid] = name
    os.close(opened)
    for _ in names:
        if not os.read(opened_read, 1):
            sys.exit("a case failed before the capture")
    print("open", flush=True)
    sys.stdin.readline()
    os.write(go_write, b"." * len(names))
    lasting = {pid for pid, name in children.items() if name in LASTING}
    failed = [children[pid] for pid in children.keys() - lasting if os.waitpid(pid, 0)[1] != 0]
    print("done", flush=True)
    sys.stdin.readline()
    for pid in lasting:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    if failed:
        sys.exit(f"failed: {failed}")


main()
