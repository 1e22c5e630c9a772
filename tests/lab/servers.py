"""The peers of the lab: servers that echo, swallow, stay silent or send on their own. Says `ready` once all listen.

Arguments: the addresses to listen on.
"""

import socket
import sys
import threading

ECHO, SINK, SILENT = 5007, 5009, 5011


def tcp_echo(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=echo_stream, args=(stream,), daemon=True).start()


def echo_stream(stream):
    with stream:
        try:
            while data := stream.recv(1 << 16):
                stream.sendall(data)
        except OSError:
            pass  # A client may leave by a reset.


def tcp_sink(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=swallow_stream, args=(stream,), daemon=True).start()


def swallow_stream(stream):
    with stream:
        try:
            while stream.recv(1 << 20):
                pass
        except OSError:
            pass


def udp_echo(server):
    while True:
        data, peer = server.recvfrom(1 << 16)
        server.sendto(data, peer)


def udp_silent(server):
    while True:
        server.recvfrom(1 << 16)


def start(kind, port, address, serve):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen(1024)
    threading.Thread(target=serve, args=(server,), daemon=True).start()


for address in sys.argv[1:]:
    start(socket.SOCK_STREAM, ECHO, address, tcp_echo)
    start(socket.SOCK_STREAM, SINK, address, tcp_sink)
    start(socket.SOCK_DGRAM, ECHO, address, udp_echo)
    start(socket.SOCK_DGRAM, SILENT, address, udp_silent)
print("ready", flush=True)
sys.stdin.read()
