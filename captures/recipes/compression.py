"""TLS compression (RFC 3749) by OpenSSL: a client and a server of a libssl that was built with zlib.

Distributions build OpenSSL without it. The wheels of psycopg2-binary up to 2.9.10 bring libssl 1.1.1 and libcrypto with
it; what they do here is their own, reached through ctypes. Compression is off unless `SSL_OP_NO_COMPRESSION` is cleared,
and TLS 1.3 has none.

    python compression.py server ADDRESS PORT CHAIN KEY          answers one request
    python compression.py client ADDRESS PORT NAME ROOTS METHOD  asks; METHOD (`zlib` or `none`) must have been negotiated
"""

import ctypes
import importlib.metadata
import socket
import sys
from ctypes import c_char_p, c_int, c_long, c_ulong, c_void_p
from pathlib import Path

# openssl/ssl.h and openssl/tls1.h of 1.1.1.
SSL_OP_NO_COMPRESSION = 0x00020000
SSL_CTRL_SET_TLSEXT_HOSTNAME = 55
SSL_CTRL_SET_MAX_PROTO_VERSION = 124
SSL_FILETYPE_PEM = 1
SSL_VERIFY_PEER = 1
TLS1_2_VERSION = 0x0303

SIGNATURES = {
    "TLS_method": (c_void_p,),
    "SSL_CTX_new": (c_void_p, c_void_p),
    "SSL_CTX_clear_options": (c_ulong, c_void_p, c_ulong),
    "SSL_CTX_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "SSL_CTX_set_security_level": (None, c_void_p, c_int),
    "SSL_CTX_set_cipher_list": (c_int, c_void_p, c_char_p),
    "SSL_CTX_use_certificate_chain_file": (c_int, c_void_p, c_char_p),
    "SSL_CTX_use_PrivateKey_file": (c_int, c_void_p, c_char_p, c_int),
    "SSL_CTX_load_verify_locations": (c_int, c_void_p, c_char_p, c_char_p),
    "SSL_CTX_set_verify": (None, c_void_p, c_int, c_void_p),
    "SSL_new": (c_void_p, c_void_p),
    "SSL_ctrl": (c_long, c_void_p, c_int, c_long, c_char_p),
    "SSL_set_fd": (c_int, c_void_p, c_int),
    "SSL_connect": (c_int, c_void_p),
    "SSL_accept": (c_int, c_void_p),
    "SSL_read": (c_int, c_void_p, c_char_p, c_int),
    "SSL_write": (c_int, c_void_p, c_char_p, c_int),
    "SSL_shutdown": (c_int, c_void_p),
    "SSL_get_current_compression": (c_void_p, c_void_p),
    "SSL_COMP_get_name": (c_char_p, c_void_p),
}


class Library:
    """The libssl of psycopg2-binary; a call that fails ends the program."""

    def __init__(self):
        files = [Path(file.locate()) for file in importlib.metadata.files("psycopg2-binary")]
        # libcrypto first: by its whole name libssl finds the one that is loaded, and not the system's.
        crypto, ssl = (next(file for file in files if file.name.startswith(name)) for name in ("libcrypto-", "libssl-"))
        self._crypto, self._ssl = ctypes.CDLL(str(crypto)), ctypes.CDLL(str(ssl))

    def __getattr__(self, name):
        function = getattr(self._ssl, name)
        function.restype, *function.argtypes = SIGNATURES[name]

        def call(*arguments):
            result = function(*arguments)
            may_be_none = name in ("SSL_get_current_compression", "SSL_shutdown") or function.restype is None
            if not may_be_none and result in (None, 0, -1):
                sys.exit(f"{name} failed")
            return result

        return call

    def context(self):
        context = self.SSL_CTX_new(self.TLS_method())
        # The second level and those above it refuse compression.
        self.SSL_CTX_set_security_level(context, 1)
        self.SSL_CTX_clear_options(context, SSL_OP_NO_COMPRESSION)
        self.SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_2_VERSION, None)
        self.SSL_CTX_set_cipher_list(context, b"ECDHE+AESGCM")
        return context

    def session(self, context, stream):
        session = self.SSL_new(context)
        self.SSL_set_fd(session, stream.fileno())
        return session

    def read(self, session):
        data = ctypes.create_string_buffer(4096)
        count = self.SSL_read(session, data, len(data))
        return data.raw[:count]

    def compression(self, session):
        method = self.SSL_get_current_compression(session)
        return self.SSL_COMP_get_name(method).decode() if method else "none"


def server(address, port, chain, key):
    ssl = Library()
    context = ssl.context()
    ssl.SSL_CTX_use_certificate_chain_file(context, chain.encode())
    ssl.SSL_CTX_use_PrivateKey_file(context, key.encode(), SSL_FILETYPE_PEM)
    with socket.create_server((address, int(port))) as listener:
        stream, _ = listener.accept()
    session = ssl.session(context, stream)
    ssl.SSL_accept(session)
    ssl.read(session)
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
    ssl.SSL_write(session, answer, len(answer))
    ssl.SSL_shutdown(session)


def client(address, port, name, roots, method):
    ssl = Library()
    context = ssl.context()
    ssl.SSL_CTX_load_verify_locations(context, roots.encode(), None)
    ssl.SSL_CTX_set_verify(context, SSL_VERIFY_PEER, None)
    stream = socket.create_connection((address, int(port)))
    session = ssl.session(context, stream)
    # SSL_set_tlsext_host_name: the type of the name is zero, host_name.
    ssl.SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, name.encode())
    ssl.SSL_connect(session)
    negotiated = ssl.compression(session)
    if method not in negotiated:
        sys.exit(f"negotiated {negotiated}, not {method}")
    request = f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode()
    ssl.SSL_write(session, request, len(request))
    if b"200 OK" not in ssl.read(session):
        sys.exit("no answer")
    ssl.SSL_shutdown(session)
    stream.close()


if __name__ == "__main__":
    {"server": server, "client": client}[sys.argv[1]](*sys.argv[2:])
