# SPDX-License-Identifier: Apache-2.0
"""A program of its own that holds many connections to a gateway in a state that leads nowhere, from
as many addresses of 127.0.0.0/8 as one likes, and opens a new one for each that the gateway ends.

    flood.py PORT KIND ADDRESSES CONNECTIONS [CERTIFICATE KEY]

With no ADDRESSES they come from 127.0.0.1, where honest clients are.

Kinds: silent (says nothing), hello (a ClientHello and no more), drip (a ClientHello byte by byte,
as fast as they are taken, then the next one), garbage (no TLS, then the next one), reset (a
ClientHello, then a reset), stranger (a whole handshake, with this certificate).  Answers each line of its input with the number of connections that were
opened so far, and ends with its input."""

import os
import resource
import selectors
import socket
import ssl
import struct
import subprocess
import sys

GARBAGE = b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def client_hello():
    """As Python's OpenSSL says it."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Flood:
    def __init__(self, port, kind, addresses, connections, certificate=()):
        self.port, self.kind, self.addresses = port, kind, addresses
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
            self.context.load_cert_chain(*certificate)
        self.hello = client_hello()
        self.opened = 0
        self.selector = selectors.DefaultSelector()
        self.rest = {}  # of each that drips, what it has yet to send
        for _ in range(connections):
            self.open()

    def open(self):
        n = self.opened % max(1, self.addresses)
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        if self.addresses > 0:
            sock.bind(("127.1.%d.%d" % (n // 250, n % 250 + 1), 0))
        sock.connect_ex(("127.0.0.1", self.port))
        self.opened += 1
        self.selector.register(sock, selectors.EVENT_WRITE)

    def close(self, sock):
        self.selector.unregister(sock)
        self.rest.pop(sock, None)
        if self.kind == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        self.open()

    def begin(self, sock):
        self.selector.unregister(sock)
        sock = self.context.wrap_socket(sock, do_handshake_on_connect=False,
                                        suppress_ragged_eofs=False)
        self.selector.register(sock, selectors.EVENT_READ)
        self.shake(sock)

    def shake(self, sock):
        """On to its end, and to that of the connection: only then does a client of TLS 1.3 know."""
        try:
            sock.do_handshake()
            if not sock.recv(65536):
                self.close(sock)
        except ssl.SSLWantReadError:
            pass
        except OSError:  # not by whoever has only the socket within, which is no longer in use
            self.close(sock)

    def connected(self, sock):
        if self.kind == "stranger":
            self.begin(sock)
            return
        if self.kind == "drip":
            self.rest[sock] = self.hello
            self.drip(sock)
            return
        if self.kind != "silent":
            sock.send(GARBAGE if self.kind == "garbage" else self.hello)
        if self.kind in ("garbage", "reset"):
            self.close(sock)
        else:
            self.selector.modify(sock, selectors.EVENT_READ)

    def drip(self, sock):
        sock.send(self.rest[sock][:1])
        self.rest[sock] = self.rest[sock][1:]
        if not self.rest[sock]:
            self.close(sock)

    def event(self, sock, mask):
        try:
            if sock in self.rest:
                self.drip(sock)
            elif mask & selectors.EVENT_WRITE:
                self.connected(sock)
            elif self.kind == "stranger":
                self.shake(sock)
            elif not sock.recv(65536):
                self.close(sock)
        except BlockingIOError:
            pass
        except OSError:
            self.close(sock)

    def run(self):
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, mask in self.selector.select():
                if key.fileobj is not sys.stdin:
                    self.event(key.fileobj, mask)
                elif sys.stdin.readline():
                    print(self.opened, flush=True)
                else:
                    return


class Running:
    """The program, for a test: a context in which it floods."""

    def __init__(self, gateway, kind, addresses, connections, certificate=None):
        self.command = [sys.executable, __file__, str(gateway.port), kind, str(addresses),
                        str(connections)]
        if certificate:
            self.command += [certificate.pem, certificate.key]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        return self

    def opened(self):
        """How many connections it has opened."""
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def __exit__(self, what, *_):
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        if status != 0 and what is None:
            raise AssertionError("the flood ended with %d" % status)


def main():
    os.nice(10)  # it stands for other machines: the CPU is for the gateway and its honest clients
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Flood(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]).run()


if __name__ == "__main__":
    main()
