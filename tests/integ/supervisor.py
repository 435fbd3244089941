# SPDX-License-Identifier: Apache-2.0
"""What systemd is to a service, for a gateway that a test starts.

PID 1 of a test machine need not be systemd.  The Supervisor here speaks what systemd speaks to a
service: LISTEN_FDS and LISTEN_PID, NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, SIGTERM and
SIGHUP; it restarts a service that ended or fell silent, and keeps the sockets."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import kf


class Supervisor(kf.Gateway):
    """A gateway as a service: its port is the supervisor's own."""

    watchdog_us = 0
    sockets = 1  # how many descriptors it hands over, all of the one socket

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(4096)
        self.socket.set_inheritable(True)
        self.port = self.socket.getsockname()[1]
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(os.path.join(self.dir, "notify"))

    def start(self, seconds=30.0, env=None):
        self.launch(env)
        self.heard("READY=1", seconds)
        return self

    def launch(self, env=None):
        env = dict(os.environ, LISTEN_FDS=str(self.sockets), LISTEN_FDNAMES="kmip",
                   NOTIFY_SOCKET=os.path.join(self.dir, "notify"), **(env or {}))
        mine = "LISTEN_PID=$$; export LISTEN_PID; "
        if self.watchdog_us:
            env["WATCHDOG_USEC"] = str(self.watchdog_us)
            mine += "WATCHDOG_PID=$$; export WATCHDOG_PID; "
        fd = self.socket.fileno()
        given = " ".join("%d<&%d" % (3 + n, fd) for n in range(self.sockets))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", mine + 'exec "$@" ' + given, "sh"] + self.command(), env=env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(fd,))

    def heard(self, word, seconds=30.0):
        """Waits until the service says it; what it said before."""
        before, end = [], time.monotonic() + seconds
        while True:
            self.notices.settimeout(max(0.01, end - time.monotonic()))
            try:
                said = self.notices.recv(4096).decode()
            except socket.timeout:
                raise AssertionError("not heard: %s, but %s\n%s" % (
                    word, before, self.log()[-4000:])) from None
            if word in said.split("\n"):
                return before
            before.append(said)

    def restart(self):
        self.process.send_signal(signal.SIGTERM)
        status = self._gone(60)
        self.launch()
        return status

    def restart_silent(self):
        """Waits until nothing is heard for the watchdog's period, and ends and starts it as systemd does then;
        the status with which it ended."""
        end = time.monotonic() + 30
        self.notices.settimeout(self.watchdog_us / 1e6)
        with contextlib.suppress(socket.timeout):
            while True:
                said = self.notices.recv(4096)
                if time.monotonic() > end:
                    raise AssertionError("it does not fall silent: %s" % said)
        self.process.send_signal(signal.SIGABRT)
        status = self._gone(10)
        self.start()
        return status

    def stop_within(self, seconds):
        """SIGTERM, and SIGKILL when that much has passed or what the service asked for; its status."""
        self.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + seconds
        self.notices.settimeout(0.05)
        while self.process.poll() is None:
            try:
                said = self.notices.recv(4096).decode()
            except socket.timeout:
                said = ""
            for more in re.findall("^EXTEND_TIMEOUT_USEC=([0-9]+)$", said, re.MULTILINE):
                end = max(end, time.monotonic() + int(more) / 1e6)
            if time.monotonic() > end:
                self.process.kill()
        return self._gone(10)

    def clean(self):
        super().clean()
        self.socket.close()
        self.notices.close()
