"""Visits the apps of the lab that listen, and writes down whose the flows are.

Arguments: the address of the apps.
"""

import json
import socket
import sys

APPS = sys.argv[1]


def say(case, uid, transport, sock, port):
    flow = {"case": case, "uid": uid, "pid": 0, "transport": transport}
    print(json.dumps(flow | {"local": [APPS, port], "remote": sock.getsockname()[:2]}), flush=True)


with socket.create_connection((APPS, 8117), timeout=5) as sock:
    say("listens", 10117, "tcp", sock, 8117)
    sock.send(b"hello")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    sock.connect((APPS, 8118))
    say("answers-udp", 10118, "udp", sock, 8118)
    sock.send(b"hello")
    sock.recv(100)
