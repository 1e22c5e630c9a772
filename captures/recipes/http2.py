"""HTTP/2 without TLS: by prior knowledge, by upgrade, and under gRPC (group 5.1 of the rules)."""

from .catalogue import capture
from .network import v4

QUIET = ["cleartext-credentials", "cleartext-secret-in-url", "cleartext-unknown", "cleartext-websocket"]


def clear(file, shows, *command, expect, fires=(), client="nghttp"):
    """One client's command against nghttpd without TLS; its rules come on top of `cleartext-http`."""

    @capture(
        f"http2/{file}.pcap",
        shows=shows,
        tools=[client, "nghttpd", "dnsmasq"],
        fires=["cleartext-http", *fires],
        silent=[rule for rule in QUIET if rule not in fires],
        expect=["http2.streamid == 0 && http2.type == 4", *expect],
    )
    def record(lab):
        (lab.dir / "index.html").write_text("ok\n")
        lab.serve("nghttpd", "--no-tls", "-a", v4("shop.test"), "-d", lab.dir, "80", port=80)
        with lab.recording():
            lab.curl(*command) if client == "curl" else lab.phone("nghttp", "-v", *command)

    record.__name__ = file.replace("-", "_")


clear(
    "prior-knowledge",
    "nghttp fetches two pages over one connection of HTTP/2 without TLS; nothing secret is in it.",
    "http://shop.test/index.html",
    "http://shop.test/missing",
    expect=['http2.headers.path == "/missing"', "http2.headers.status == 404"],
)
clear(
    "curl-credentials",
    "curl sends a password, a cookie and a token in the query over HTTP/2 without TLS.",
    "--http2-prior-knowledge",
    "-u",
    "alice:open-sesame",
    "-b",
    "session=4711",
    "http://shop.test/index.html?access_token=4711",
    client="curl",
    fires=["cleartext-credentials", "cleartext-secret-in-url"],
    expect=["http2.headers.authorization", "http2.headers.cookie"],
)

APACHE = """
ServerRoot {dir}
ServerName shop.test
PidFile {dir}/apache.pid
ErrorLog {dir}/apache.log
Listen {address}:80
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
Protocols {protocols} http/1.1
DocumentRoot {dir}
"""


def upgraded(file, shows, protocols, expect, forbid=(), silent=()):
    """curl asks Apache's server for HTTP/2 by an upgrade of HTTP/1.1."""

    @capture(
        f"http2/{file}.pcap",
        shows=shows,
        tools=["curl", "apache2", "dnsmasq"],
        fires=["cleartext-http"],
        silent=[*QUIET, *silent],
        expect=['http.upgrade == "h2c"', *expect],
        forbid=forbid,
    )
    def record(lab):
        (lab.dir / "index.html").write_text("ok\n")
        configuration = lab.dir / "apache.conf"
        configuration.write_text(APACHE.format(dir=lab.dir, address=v4("shop.test"), protocols=protocols))
        lab.serve("apache2", "-X", "-f", configuration, port=80)
        with lab.recording():
            lab.curl("--http2", "http://shop.test/index.html")

    record.__name__ = file.replace("-", "_")


upgraded(
    "upgrade",
    "curl asks for HTTP/2 by an upgrade, and Apache's server changes to it: the page comes by HTTP/2.",
    "h2c",
    ["http.response.code == 101", "http2.headers.status == 200"],
)
upgraded(
    "upgrade-declined",
    "curl asks for HTTP/2 by an upgrade, and Apache's server answers in HTTP/1.1.",
    "",
    ["http.response.code == 200"],
    forbid=["http2.type", "http.response.code == 101"],
)

# A service without generated code: what goes over the wire is gRPC's all the same.
SERVICE = """
import sys
from concurrent import futures
import grpc

class Greeter(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/lab.Greeter/Greet":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\\n\\x08good day")

server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Greeter(),))
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
"""
CALLER = """
import sys
import grpc
target, root, *token = sys.argv[1:]
if root == "none":
    channel = grpc.insecure_channel(target)
else:
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(open(root, "rb").read()))
with channel:
    greet = channel.unary_unary("/lab.Greeter/Greet")
    metadata = [("authorization", "Bearer " + word) for word in token]
    print(greet(b"\\n\\x04anna", metadata=metadata, timeout=8))
    try:
        channel.unary_unary("/lab.Greeter/Nobody")(b"", metadata=metadata, timeout=8)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
"""


def grpc(file, shows, *token, fires=(), expect=()):
    """Two calls of gRPC without TLS: one is answered, one is of a method that there is not."""

    @capture(
        f"http2/{file}.pcap",
        shows=shows,
        tools=["grpcio", "dnsmasq"],
        fires=["cleartext-http", *fires],
        silent=[rule for rule in [*QUIET, "cleartext-protocol"] if rule not in fires],
        expect=['http2.headers.path == "/lab.Greeter/Greet"', 'http2.headers.content_type == "application/grpc"', *expect],
    )
    def record(lab):
        target = f"{v4('api.shop.test')}:80"
        lab.serve(lab.venv / "bin/python", "-c", SERVICE, target, port=80)
        with lab.recording():
            lab.python(CALLER, target, "none", *token)

    record.__name__ = file.replace("-", "_")


grpc("grpc", "Two calls of gRPC without TLS, of which one fails.")
grpc(
    "grpc-token",
    "Two calls of gRPC without TLS, with a token.",
    "4711-0815",
    fires=["cleartext-credentials"],
    expect=["http2.headers.authorization"],
)
