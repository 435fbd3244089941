# SPDX-License-Identifier: Apache-2.0
"""Name servers for a gateway's eyes alone: the first one is there and never answers, the second one says of
each name that it is this machine's."""

import os
import socket
import struct
import subprocess
import threading

SILENT, ANSWERS = "127.9.9.1", "127.9.9.2"
HERE = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + bytes((127, 0, 0, 1))


def answer(query):
    end = 12
    while query[end] != 0:
        end += query[end] + 1
    end += 5
    found = query[end - 4:end] == struct.pack(">HH", 1, 1)
    return query[:2] + struct.pack(">HHHHH", 0x8180, 1, found, 0, 0) + query[12:end] + HERE * found


class NameServers:
    """OSError: nobody may have them here."""

    def __init__(self, directory):
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            raise OSError("only root may give a process name servers of its own")
        self.silent, self.answers = (self.bound(a) for a in (SILENT, ANSWERS))
        self.resolv = os.path.join(directory, "resolv.conf")
        with open(self.resolv, "w", encoding="ascii") as f:
            f.write("nameserver %s\nnameserver %s\n" % (SILENT, ANSWERS))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @staticmethod
    def bound(address):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 53))
        return s

    def run(self):
        while True:
            query, who = self.answers.recvfrom(512)
            if not query:
                return
            self.answers.sendto(answer(query), who)

    def for_command(self, line):
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
                self.resolv] + line

    def was_silent(self):
        """Whether the first one was asked."""
        self.silent.setblocking(False)
        try:
            return bool(self.silent.recv(512))
        except BlockingIOError:
            return False

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", (ANSWERS, 53))
        self.thread.join()
        self.silent.close()
        self.answers.close()
