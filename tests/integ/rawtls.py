# SPDX-License-Identifier: Apache-2.0
"""TLS records and ClientHellos, byte by byte, as nobody's library would make them."""

import os
import struct

CCS, ALERT, HANDSHAKE, DATA, HEARTBEAT = range(20, 25)
WARNING, FATAL = 1, 2
CLOSE_NOTIFY, UNEXPECTED, RECORD_MAC, INTERNAL, CANCELLED = 0, 10, 20, 80, 90
PROTOCOL_VERSION = 70
SUITES_12 = (0xC02B, 0xC02F, 0xC02C, 0xC030)
SUITES_OLD = (0xC009, 0xC013, 0xC00A, 0xC014, 0x002F, 0x0035)  # CBC with SHA-1
SUITES_13 = (0x1301, 0x1302, 0x1303)


def record(kind, data, version=0x0303, length=None):
    return struct.pack(">BHH", kind, version, len(data) if length is None else length) + data


def alert(level, what):
    return record(ALERT, bytes([level, what]))


def vector(data, size):
    """With its length in front, in so many bytes."""
    return len(data).to_bytes(size, "big") + data


def extension(number, data):
    return struct.pack(">H", number) + vector(data, 2)


def numbers(*several):
    return struct.pack(">%dH" % len(several), *several)


def usual_extensions(tls13=True):
    """Groups, signatures, points; and for 1.3 versions and a share of P-256 (the curve's base
    point: everybody knows its secret, and the server cannot tell)."""
    base = bytes.fromhex(
        "04"
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    several = [extension(10, vector(numbers(23, 24), 2)), extension(11, b"\1\0"),
               extension(13, vector(numbers(0x0403, 0x0804, 0x0401), 2))]
    if tls13:
        several += [extension(43, vector(numbers(0x0304), 1)),
                    extension(51, vector(numbers(23) + vector(base, 2), 2))]
    return several


def hello_message(extensions=None, version=0x0303, suites=SUITES_13 + SUITES_12,
                  compressions=b"\0", session=b"", length=None):
    body = struct.pack(">H", version) + os.urandom(32) + vector(session, 1)
    body += vector(numbers(*suites), 2) + vector(compressions, 1)
    body += vector(b"".join(usual_extensions() if extensions is None else extensions), 2)
    return b"\1" + (len(body) if length is None else length).to_bytes(3, "big") + body


def in_records(message, size=16384):
    return b"".join(record(HANDSHAKE, message[at:at + size], 0x0301)
                    for at in range(0, len(message), size))


def hello(*args, **kwargs):
    return in_records(hello_message(*args, **kwargs))


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError("the peer ended it")
        data += more
    return data


def read_record(sock):
    """(kind, what is in it)"""
    kind, _, length = struct.unpack(">BHH", read_exactly(sock, 5))
    return kind, read_exactly(sock, length)


def chosen(server_hello):
    """(cipher suite, compression method) of a ServerHello, as its record has it."""
    if server_hello[0] != 2:
        raise ValueError("no ServerHello: %r" % server_hello[:1])
    session = server_hello[38]  # after type, length, version, random
    return struct.unpack_from(">HB", server_hello, 38 + 1 + session)


def sslv2_hello():
    body = struct.pack(">BHHHH", 1, 0x0002, 3, 0, 16) + b"\x01\x00\x80" + os.urandom(16)
    return struct.pack(">H", 0x8000 | len(body)) + body
