"""TLS compression (RFC 3749) for tlslite-ng, because no TLS library that is still packaged has it.

The session is real: both ends run tlslite-ng's handshake and record layer, and what they send is deflated before it is
encrypted. Only the method's byte in the two hellos, and the deflating, are added here.
"""

import contextlib
import zlib
from unittest import mock

DEFLATE = 1


@contextlib.contextmanager
def deflated():
    """tlslite-ng with compression, on both ends, for as long as the body runs."""
    from tlslite.messages import ClientHello, Message, ServerHello
    from tlslite.recordlayer import RecordLayer
    from tlslite.utils.codec import Parser

    create, write, parse = ClientHello.create, ServerHello.write, ServerHello.parse
    send, receive = RecordLayer.sendRecord, RecordLayer.recvRecord

    def create_hello(self, *arguments, **options):
        hello = create(self, *arguments, **options)
        hello.compression_methods = [DEFLATE, 0]
        return hello

    def write_hello(self):
        self.compression_method = DEFLATE
        return write(self)

    def parse_hello(self, parser):
        hello = parse(self, parser)
        if hello.compression_method != DEFLATE:
            raise ValueError("the server does not compress")
        # tlslite-ng refuses what it does not know.
        hello.compression_method = 0
        return hello

    def send_record(self, message):
        if self._writeState.encContext:
            if not hasattr(self, "lab_deflate"):
                self.lab_deflate = zlib.compressobj()
            data = self.lab_deflate.compress(bytes(message.write())) + self.lab_deflate.flush(
                zlib.Z_SYNC_FLUSH
            )
            message = Message(message.contentType, bytearray(data))
        yield from send(self, message)

    def receive_record(self):
        for result in receive(self):
            if result not in (0, 1) and self._readState.encContext:
                if not hasattr(self, "lab_inflate"):
                    self.lab_inflate = zlib.decompressobj()
                head, body = result
                result = head, Parser(bytearray(self.lab_inflate.decompress(bytes(body.bytes))))
            yield result

    with contextlib.ExitStack() as patches:
        for owner, name, function in (
            (ClientHello, "create", create_hello),
            (ServerHello, "write", write_hello),
            (ServerHello, "parse", parse_hello),
            (RecordLayer, "sendRecord", send_record),
            (RecordLayer, "recvRecord", receive_record),
        ):
            patches.enter_context(mock.patch.object(owner, name, function))
        yield
