# SPDX-License-Identifier: Apache-2.0
"""The test harness: certificates, a gateway of one's own for each test, and a KMIP client.

A Gateway lives in a temporary directory and listens on a port that the kernel chooses; its log is
kept and printed when the test fails.
"""

import atexit
import contextlib
import fcntl
import functools
import json
import os
import random
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import zlib

import ttlv

VAULT = os.environ.get("KEYFERRY_VAULT", "local")  # of tenants that do not say: or keyprotect
SKIPPED = 77  # the exit status that meson counts as a skip
LONG = os.environ.get("KEYFERRY_LONG") == "1"
TESTING = os.environ.get("KEYFERRY_TESTING") == "1"
SANITIZED = os.environ.get("KEYFERRY_SANITIZED") == "1"
# For tests of what a release has no machinery for.
testing_only = unittest.skipUnless(TESTING, "clocks stand, and faults come, in test builds alone")
# What the gateway is started by, such as valgrind and its options: it does without the filter of
# system calls, which would hold for both, and has more time.  What valgrind says goes to the log.
WRAP = shlex.split(os.environ.get("KEYFERRY_WRAP", ""))
if WRAP:
    WRAP = ["env", "LD_PRELOAD=" + os.environ["KEYFERRY_ITSELF_SO"]] + WRAP
IN_USE = "another process uses this state directory"
SLOWER = 10 if WRAP else 1
# What a gateway must not have said: sanitizers' and valgrind's findings, and its own last words.
TROUBLE = re.compile(r"ERROR: (?:Address|Leak)Sanitizer|runtime error:|panic|Assertion|^==[0-9]+== ",
                     re.MULTILINE)
# "K/N": a long search in N parts, which can be run beside each other and one after the other.
PART, PARTS = (int(n) for n in os.environ.get("KEYFERRY_PART", "1/1").split("/"))
SEED = os.environ.get("KEYFERRY_SEED") or str(random.SystemRandom().randrange(1 << 32))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program(name):
    """The path of a built program, from the environment that meson sets."""
    path = os.environ.get("KEYFERRY_" + name.upper().replace("-", "_"))
    if not path or not os.access(path, os.X_OK):
        sys.exit("KEYFERRY_%s does not name the program %s" % (name.upper(), name))
    return path


def random_for(name):
    """A generator that KEYFERRY_SEED makes repeatable."""
    return random.Random("%s %s" % (SEED, name))


def part(cases):
    """Of all cases those that KEYFERRY_PART asks for: the same ones, whatever else there is."""
    return [c for c in cases if zlib.crc32(repr(c).encode()) % PARTS == PART - 1]


def eventually(check, what, seconds=10.0):
    """Waits until check() is true and returns what it returned."""
    end = time.monotonic() + seconds * SLOWER
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        time.sleep(0.01)


# Certificates.  Made once for each test program, with the openssl command.

def openssl(*args, **kwargs):
    return subprocess.run(("openssl",) + args, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **kwargs).stdout


class Certificate:
    """A certificate with its key: files, and the digest that the log shows."""

    def __init__(self, pem, key):
        self.pem, self.key = pem, key

    @functools.cached_property
    def der(self):
        with open(self.pem, encoding="ascii") as f:
            text = f.read()
        end = "-----END CERTIFICATE-----"  # others may follow
        return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN"):text.index(end) + len(end)])

    @property
    def digest(self):
        return openssl("dgst", "-sha256", "-binary", input=self.der).hex()


class Authority:
    """Makes self-signed certificates, as vCenter and the gateway's administrator do."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="keyferry-certs-")
        self.made = {}

    def make(self, name, kind="ec", start=None, end=None, subject=None, names=(),
             exponent=65537, bits=2048):
        """start, end: days from now; without them it is valid now, for ten years.  names: more
        than its usual ones."""
        if name in self.made:
            return self.made[name]
        pem, key = (os.path.join(self.dir, name + end_) for end_ in (".pem", ".key"))
        if kind == "ec":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-out", key)
        else:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:%d" % bits,
                    "-pkeyopt", "rsa_keygen_pubexp:%d" % exponent, "-out", key)
        subject = subject or "/CN=" + name
        if start is None:
            openssl("req", "-x509", "-new", "-key", key, "-subj", subject, "-days", "3650",
                    "-addext", "subjectAltName=DNS:localhost,DNS:kp.test,IP:127.0.0.1,IP:::1" +
                    "".join(",DNS:" + n for n in names), "-out", pem)
        else:
            self._make_dated(name, pem, key, subject, start, end)
        os.chmod(key, 0o600)
        self.made[name] = Certificate(pem, key)
        return self.made[name]

    def _make_dated(self, name, pem, key, subject, start, end):
        """The ca command alone takes dates of one's choice in OpenSSL 3.0."""
        day = lambda n: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + n * 86400))
        conf = os.path.join(self.dir, name + ".cnf")
        for suffix, content in ((".index", ""), (".serial", "01\n")):
            with open(os.path.join(self.dir, name + suffix), "w", encoding="ascii") as f:
                f.write(content)
        with open(conf, "w", encoding="ascii") as f:
            f.write("[ca]\ndefault_ca = d\n[d]\ndatabase = {0}.index\nserial = {0}.serial\n"
                    "new_certs_dir = {1}\ndefault_md = sha256\npolicy = p\n[p]\n"
                    "commonName = supplied\n".format(os.path.join(self.dir, name), self.dir))
        request = os.path.join(self.dir, name + ".csr")
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        openssl("ca", "-batch", "-selfsign", "-config", conf, "-in", request, "-keyfile", key,
                "-startdate", day(start), "-enddate", day(end), "-notext", "-out", pem)

    def forge(self, name, owner):
        """The owner's certificate with a key that claims to be its, and is not (P-256)."""
        if name in self.made:
            return self.made[name]
        stranger = self.make(name + "-stranger")
        der = [openssl("ec", "-in", c.key, "-outform", "DER") for c in (owner, stranger)]
        at = der[0].index(b"\x04\x20") + 2  # OCTET STRING of 32 bytes: the private number
        forged = der[0][:at] + der[1][at:at + 32] + der[0][at + 32:]
        key = os.path.join(self.dir, name + ".key")
        with open(key, "wb") as f:
            f.write(b"-----BEGIN EC PRIVATE KEY-----\n")
            f.write(ssl.DER_cert_to_PEM_cert(forged).encode().split(b"\n", 1)[1]
                    .rsplit(b"-----END", 1)[0])
            f.write(b"-----END EC PRIVATE KEY-----\n")
        self.made[name] = Certificate(owner.pem, key)
        return self.made[name]

    def clean(self):
        shutil.rmtree(self.dir, ignore_errors=True)


AUTHORITY = Authority()
atexit.register(AUTHORITY.clean)


def server_certificates():
    return [AUTHORITY.make("server-ec"), AUTHORITY.make("server-rsa", "rsa")]


@functools.lru_cache(maxsize=None)
def the_cloud():
    """The key manager of all tenants that do not bring their own."""
    import cloud  # it needs this module

    directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
    made = cloud.Cloud(directory)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(made.stop)
    return made


class Tenant:
    """A tenant's section of the configuration.  vault: its section, or None for the test's."""

    def __init__(self, name, *certificates, options="", vault=None):
        self.name, self.certificates, self.options = name, list(certificates), options
        self.vault = vault

    def usual_vault(self, directory):
        """Keys are born as in the other vault, so that one test does for both."""
        if VAULT == "local":
            return 'vault local { root-key-file = "%s" }' % os.path.join(
                directory, self.name + ".root")
        kept = "" if "born-active" in self.options else "\n  born-active = false"
        prefix = "%s-%s" % (os.path.basename(directory), self.name)
        return the_cloud().vault(prefix=prefix) + kept

    def secret(self, directory):
        """The file that opens the vault."""
        if VAULT == "local":
            return os.path.join(directory, self.name + ".root")
        return the_cloud().api_key("Manager")

    def section(self, directory):
        return ('tenant "%s" {\n  id = "%s"\n  client-certificates = {%s}\n'
                '  %s\n  ledger sqlite { }\n  %s\n}\n' % (
                    self.name, self.name,
                    ", ".join('"%s"' % c.pem for c in self.certificates),
                    self.vault or self.usual_vault(directory), self.options))


class Gateway:
    """One keyferryd, which can be stopped, killed and started again on its state."""

    def __init__(self, tenants=None, servers=None, options="", directory=None, tls="",
                 own_session=False):
        """tls: more in the section of that name."""
        self.dir = directory or tempfile.mkdtemp(prefix="keyferry-test-")
        self.log_path = os.path.join(self.dir, "log")
        self.conf = os.path.join(self.dir, "keyferryd.conf")
        self.state_dir = os.path.join(self.dir, "state")
        self.socket_path = os.path.join(self.dir, "control.sock")
        self.tenants = tenants or [Tenant("a", AUTHORITY.make("vcenter"))]
        self.servers = servers or server_certificates()
        self.options, self.tls = options, tls
        self.listen = "127.0.0.1:0"
        self.process, self.port, self.limit = None, None, []
        self.daemon = None  # another program than the one that is tested
        self.own_session = own_session  # of processes, as a service has it
        os.makedirs(self.state_dir, mode=0o700, exist_ok=True)
        self.configure()

    def configure(self):
        """Writes the configuration file, and the root keys that are not there yet."""
        files = lambda names: ", ".join('"%s"' % n for n in names)
        for t in self.tenants:
            path = os.path.join(self.dir, t.name + ".root")
            if not os.path.exists(path):
                with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w",
                          encoding="ascii") as f:
                    f.write("1 %s\n" % os.urandom(32).hex())
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write('listen = {"%s"}\n'
                    'tls {\n  certificate = {%s}\n  private-key = {%s}\n  %s\n}\n'
                    'control-socket = "%s"\nstats-socket = "%s"\nstate-dir = "%s"\n%s\n' % (
                        self.listen, files(c.pem for c in self.servers),
                        files(c.key for c in self.servers), self.tls, self.socket_path,
                        os.path.join(self.dir, "stats.sock"), self.state_dir,
                        self.options + ("\nseccomp = false" if WRAP and "seccomp" not in self.options
                                        else "")))
            for t in self.tenants:
                f.write(t.section(self.dir))

    def command(self):
        return self.limit + WRAP + [self.daemon or program("keyferryd"), "-f", "-c", self.conf]

    def start(self, seconds=30.0, env=None):
        """Starts it and waits until it listens.  env: more environment variables."""
        at = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=dict(os.environ, **(env or {})),
                                            start_new_session=self.own_session)
        end = time.monotonic() + seconds * SLOWER
        while True:
            found = re.search(r"notice daemon: listening address=127\.0\.0\.1:(\d+)\s",
                              self.log(at))
            if found:
                self.port = int(found.group(1))
                return self
            if self.process.poll() is not None and IN_USE in self.log(at) and time.monotonic() < end:
                time.sleep(0.05)  # a child of one that was killed just now comes to its end
                return Gateway.start(self, (end - time.monotonic()) / SLOWER, env)
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("the gateway did not start (status %s):\n%s" % (
                    self.process.poll(), self.log(at)))
            time.sleep(0.01)

    def stop(self, seconds=40.0):
        """SIGTERM; returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._gone(seconds)

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        return self._gone(10)

    def _gone(self, seconds):
        try:
            status = self.process.wait(seconds * SLOWER)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the gateway did not end within %g s" % seconds)
        self.process = None
        return status

    def clean(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, start=0):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            f.seek(start)
            return f.read()

    def mark(self):
        """Where the log ends now, for log() and await_log()."""
        return os.path.getsize(self.log_path)

    def await_log(self, pattern, start=0, seconds=10.0):
        """Waits for a line that matches, and returns it."""
        def look():
            for line in self.log(start).splitlines():
                if re.search(pattern, line):
                    return line
            return None
        return eventually(look, "log line %r" % pattern, seconds)

    def child_pid(self):
        """The storage child's process id; not above zero while it is being started again."""
        return self.metrics()["storage_pid"]

    def reader_pid(self):
        """That of the storage child that only reads."""
        return self.metrics()["storage_reader_pid"]

    def control(self, command, *args, timeout=20.0):
        """Speaks to the control socket: the documents before the last, which must say ok."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout * SLOWER)
            s.connect(self.socket_path)
            s.sendall("\t".join((command,) + args).encode() + b"\n")
            data = b""
            while True:
                chunk = s.recv(65536)
                data += chunk
                lines = data.split(b"\n")
                if len(lines) > 1 and lines[-1] == b"" and b'"status"' in lines[-2]:
                    last = json.loads(lines[-2])
                    if last.get("status") in ("ok", "error", "unknown") and len(last) <= 2:
                        break
                if not chunk:
                    raise AssertionError("control socket closed early: %r" % data)
        if last["status"] != "ok":
            raise AssertionError("control %s: %s" % (command, last))
        return [json.loads(line) for line in lines[:-2]]

    def ctl(self, *args, check=True, **kwargs):
        """Runs keyferryctl against this gateway."""
        done = subprocess.run((program("keyferryctl"), "-c", self.conf) + args,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError("keyferryctl %s: %d\n%s%s" % (
                " ".join(args), done.returncode, done.stdout, done.stderr))
        return done

    def metrics(self):
        """The counters and gauges, by name, as `keyferryctl --json status` has them."""
        return find_metrics(self.control("status")[0])

    def assert_idle(self, heap=None, seconds=10.0):
        """Gauges back at their base: nothing is leaked, nothing hangs."""
        last = {}

        def quiet():
            last.update(self.metrics())
            return (last["sessions"] == 0 and last["handshakes"] == 0 and
                    last["requests"] == 0 and last["store_calls"] == 0 and
                    (heap is None or last["secure_heap_used"] <= heap))
        try:
            eventually(quiet, "gauges at their base", seconds)
        except AssertionError:
            raise AssertionError("gauges: %s (heap base %s)" % (last, heap))

    def ca(self):
        """A file with its certificates, for programs that are clients."""
        path = os.path.join(self.dir, "servers.pem")
        with open(path, "w", encoding="ascii") as out:
            for server in self.servers:
                with open(server.pem, encoding="ascii") as f:
                    out.write(f.read())
        return path

    def client(self, certificate=None, **kwargs):
        return Client(self, certificate or self.tenants[0].certificates[0], **kwargs)


def find_metrics(document):
    """Flattens a status document to {name: number}, names in lower case with underscores."""
    flat = {}

    def walk(value, name):
        if isinstance(value, dict):
            for k, v in value.items():
                walk(v, k)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            flat[name.lower().replace("-", "_")] = value
    walk(document, "")
    return flat


def context(certificate=None, versions=None, ciphers=None):
    """A client's TLS settings; the server's certificates are pinned as vCenter does it."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    for s in server_certificates():
        c.load_verify_locations(s.pem)
    if versions:
        c.minimum_version, c.maximum_version = versions
    if ciphers:
        c.set_ciphers(ciphers)
    if certificate:
        c.load_cert_chain(certificate.pem, certificate.key)
    return c


class Closed(Exception):
    """The gateway closed the session."""


class NoAnswer(Closed):
    """In an orderly way, where an answer could have begun."""


class Client:
    """One TLS session."""

    def __init__(self, gateway, certificate, version=(1, 1), tls=None, timeout=30.0, ciphers=None,
                 connect=True):
        self.version = version
        self.sock = self.source = None
        self.context = context(certificate, tls and (tls, tls), ciphers)
        self.address = ("127.0.0.1", gateway.port)
        self.timeout = timeout
        if connect:
            self.connect()

    def connect(self):
        raw = socket.create_connection(self.address, self.timeout,
                                       self.source and (self.source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = self.context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise
        return self

    def close(self):
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.close()
            self.sock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.sock.sendall(data.encode() if isinstance(data, ttlv.Node) else data)
        except (ssl.SSLError, ConnectionError) as e:
            raise Closed(str(e)) from e

    def hears(self, seconds):
        """Whether the gateway says something unasked in that time, which can be a goodbye alone."""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def on_its_way(self):
        """How much of what was sent the gateway's machine has not taken yet."""
        return int.from_bytes(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def _read(self, n, end=Closed):
        data = b""
        while len(data) < n:
            try:
                chunk = self.sock.recv(n - len(data))
            except socket.timeout:
                raise
            except (ssl.SSLError, ConnectionError) as e:
                raise Closed(str(e)) from e
            if not chunk:
                raise (Closed if data else end)("end of file after %d of %d bytes" % (len(data), n))
            data += chunk
        return data

    def receive(self):
        """One whole answer."""
        head = self._read(8, NoAnswer)
        if head[:4] != b"\x42\x00\x7b\x01":
            raise ttlv.Malformed("answer begins %s" % head.hex())
        return ttlv.Answer(head + self._read(int.from_bytes(head[4:], "big")))

    def call(self, *items, **kwargs):
        """Sends the items as one message; the answer must be in the same version."""
        version = kwargs.pop("version", self.version)
        self.send(ttlv.request(version, *items, **kwargs))
        answer = self.receive()
        if answer.version != version:
            raise AssertionError("answer in version %s to %s" % (answer.version, version))
        return answer

    def do(self, item, **kwargs):
        """One item: its result."""
        answer = self.call(item, **kwargs)
        if len(answer.items) != 1:
            raise AssertionError("%d items" % len(answer.items))
        return answer.items[0]

    def ok(self, item, **kwargs):
        """One item that must succeed: its payload."""
        result = self.do(item, **kwargs)
        if result.status != ttlv.SUCCESS:
            raise AssertionError("not successful: %r" % result)
        return result.payload

    def create(self, *more, **kwargs):
        """A new AES-256 key's uid."""
        return self.ok(ttlv.create(*more, **kwargs)).path("UniqueIdentifier")

    def key(self, identifier):
        return self.ok(ttlv.on("Get", identifier)).path("SymmetricKey", "KeyBlock", "KeyValue",
                                                        "KeyMaterial")

    def state(self, identifier):
        return ttlv.Result(self.call(ttlv.get_attributes(identifier, "State")).items[0].node
                           ).attributes()["State"][0]

    def is_closed(self, seconds=10.0):
        """True when the gateway closes the session without a further byte."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1) == b""
        except socket.timeout:
            return False
        except (ssl.SSLError, ConnectionError):
            return True


def resume(gw, certificate, tls, session, timeout=30.0):
    """Connects with what an earlier call returned, or None: whether that session was resumed, and
    what resumes this one."""
    with Client(gw, certificate, tls=tls, timeout=timeout, connect=False) as c:
        if session is not None:
            c.context = session[0]
        raw = socket.create_connection(c.address, timeout=timeout)
        try:
            c.sock = c.context.wrap_socket(raw, session=session and session[1])
        except BaseException:
            raw.close()
            raise
        c.ok(ttlv.item("DiscoverVersions"))  # by then a ticket has come
        return c.sock.session_reused, (c.context, c.sock.session)


class Case(unittest.TestCase):
    """A test with gateways; prints the log of each when it fails."""

    def gateway(self, start=True, **kwargs):
        gw = Gateway(**kwargs)
        self.addCleanup(self._end, gw)
        return gw.start() if start else gw

    def _end(self, gw):
        try:
            outcome = self._outcome.result
            broken = any(t is self or getattr(t, "test_case", None) is self
                         for t, _ in outcome.failures + outcome.errors)
            if WRAP and gw.process is not None:
                gw.stop()  # leaks are told at the end
            if os.path.exists(gw.log_path):
                log = gw.log()
                if broken:
                    sys.stderr.write("--- log of %s ---\n%s\n" % (self.id(), log[-20000:]))
                self.assertNotRegex(log, TROUBLE)
        finally:
            gw.clean()

    def assert_reason(self, result, *names):
        self.assertEqual(result.status, ttlv.FAILED, result)
        self.assertIn(result.reason_name, names, result)

    def assert_fine(self, gw):
        """Another session works."""
        with gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))


class SharedCase(Case):
    """Tests that can share one gateway: started once for the class."""

    gateway_args = {}

    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway(**cls.arguments())
        cls.addClassCleanup(cls._end_shared)
        cls.gw.start()

    @classmethod
    def arguments(cls):
        return dict(cls.gateway_args)

    @classmethod
    def _end_shared(cls):
        gw = cls.gw
        log = gw.log() if os.path.exists(gw.log_path) else ""
        try:
            if gw.process is not None:
                if gw.process.poll() is not None:
                    raise AssertionError("the gateway ended by itself: %d\n%s" % (
                        gw.process.poll(), log[-20000:]))
                status = gw.stop()
                log = gw.log()
                if status != 0 or TROUBLE.search(log):
                    raise AssertionError("status %s\n%s" % (status, log[-20000:]))
        finally:
            if getattr(cls, "failed", False):
                sys.stderr.write("--- log ---\n%s\n" % log[-20000:])
            gw.clean()

    def setUp(self):
        self.log_mark = self.gw.mark()

    def tearDown(self):
        outcome = self._outcome.result
        if any(t is self or getattr(t, "test_case", None) is self
               for t, _ in outcome.failures + outcome.errors):
            sys.stderr.write("--- log during %s ---\n%s\n" % (
                self.id(), self.gw.log(self.log_mark)[-8000:]))

    def client(self, *args, **kwargs):
        c = self.gw.client(*args, **kwargs)
        self.addCleanup(c.close)
        return c


class TwoTenants(SharedCase):
    """A gateway with the tenants a and b, for commands of keyferryctl."""

    @classmethod
    def arguments(cls):
        return {"tenants": [Tenant("a", AUTHORITY.make("vcenter")),
                            Tenant("b", AUTHORITY.make("second"))]}

    def json(self, *args):
        """The first document of a command's answer."""
        return json.loads(self.gw.ctl("--json", *args).stdout.splitlines()[0])


def in_parallel(count, work):
    """Runs work(0) ... work(count - 1) in threads; raises the first failure."""
    failures = []

    def run(n):
        try:
            work(n)
        except BaseException as e:  # reported below, in the thread of the test
            failures.append(e)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def skip_all(why):
    """Ends the test program as skipped, and says so, as tests/results.py reads it."""
    print("SKIPPED: %s" % why, flush=True)
    sys.exit(SKIPPED)


def tell_skipped(skipped):
    """The same of single tests, whose program passes without them; of each reason in one line."""
    reasons = {}
    for test, why in skipped:
        reasons.setdefault(" ".join(why.split()), []).append(
            test.id().removeprefix("__main__.").replace(" ", ""))
    for why, tests in reasons.items():
        print("SKIPPED %s: %s" % (" ".join(tests), why), flush=True)


def main():
    """Runs a test file."""
    print("KEYFERRY_SEED=%s%s" % (SEED, " KEYFERRY_LONG=1" if LONG else ""), flush=True)
    result = unittest.main(verbosity=2, exit=False).result
    tell_skipped(result.skipped)
    sys.exit(not result.wasSuccessful())
