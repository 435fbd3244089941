# SPDX-License-Identifier: Apache-2.0
"""A TLS client whose records pass through our hands: handshakes in steps, and bytes of our choice."""

import socket
import ssl

import kf
import ttlv


class ByHand:
    """A handshake taken in steps, so that many are under way at once in one thread."""

    def __init__(self, gw, certificate, tls=None):
        self.sock = socket.create_connection(("127.0.0.1", gw.port), timeout=60)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = kf.context(certificate, tls and (tls, tls)).wrap_bio(
            self.incoming, self.outgoing)

    def step(self):
        """One flight; True when the handshake is done."""
        try:
            self.tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)
        return done

    def hear(self, instead="during the handshake"):
        """What has come; instead: of what the connection would end."""
        data = self.sock.recv(65536)
        if not data:
            raise kf.Closed(instead)
        self.incoming.write(data)

    def finish(self):
        while not self.step():
            self.hear()

    def encrypted(self, data):
        """Its records, not sent yet."""
        self.tls.write(data)
        return self.outgoing.read()

    def answer(self, most=1):
        """The beginning of one, to show that there is one."""
        while True:
            try:
                return self.tls.read(most)
            except ssl.SSLWantReadError:
                self.hear("instead of an answer")

    def discover(self):
        asks = ttlv.request((1, 1), ttlv.item("DiscoverVersions"))
        self.sock.sendall(self.encrypted(asks.encode()))
        return self.answer()
