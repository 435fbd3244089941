# SPDX-License-Identifier: Apache-2.0
"""What a gateway does while an allocation fails: all operations, handshakes, commands.

A step makes ready, without faults, and yields; then it does one thing, during which something
fails, and judges: it raises Refused, or what the session ended with, or has the right answer.  If
it was done it may yield once more, and look at what became of it, without faults.
"""

import collections
import hashlib
import hmac
import json
import os
import shutil
import socket
import ssl

import kf
import ttlv
from torture import CRYPTO, Refused, TIMEOUT
from ttlv import attribute, boolean, enum, integer, octets, on, reference, revoke, seq

Step = collections.namedtuple("Step", "run rows")  # rows: of src/gate/op.def, and commands by their names
STEPS = collections.OrderedDict()
T12, T13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NEW, NEWER = {"version": (1, 4)}, {"version": (2, 1)}
ENCRYPT, DECRYPT, WRAP, MAC, MAC_VERIFY, DERIVE = 4, 8, 0x10, 0x80, 0x100, 0x200
CBC, ECB, NIST = 1, 2, 0xD
SHA256, HMAC_SHA256, HMAC = 6, 9, 3  # as digest, as algorithm, as derivation
LIMIT = 10 ** 6
# FIPS 197 C.1, SP 800-38A F.2.1 and RFC 3394 4.1
KEY = bytes(range(16))
PLAIN, CIPHER = bytes(range(0, 256, 17)), bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")
CBC_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
CBC_PLAIN = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
CBC_CIPHER = bytes.fromhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2")
WRAPPED = bytes.fromhex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5")


def step(*rows):
    def enter(run):
        STEPS[run.__name__] = Step(run, rows)
        return run
    return enter


def kept(w, name, make):
    """An object that steps share, made when it is first needed."""
    if name not in w.shared:
        w.shared[name] = make()
    return w.shared[name]


def parameters(mode=None, hashing=None, algorithm=None):
    return seq("CryptographicParameters", enum("BlockCipherMode", mode) if mode else None,
               enum("HashingAlgorithm", hashing) if hashing else None,
               enum("CryptographicAlgorithm", algorithm) if algorithm else None)


# Handshakes: pinned, by an authority with a revocation list, resumed; and who must not get in.

@step("DISCOVER_VERSIONS")
def handshake(w):
    w.drop()
    yield
    with w.connect() as c:
        w.judge(c.do(ttlv.item("DiscoverVersions")))


@step()
def handshake_12(w):
    yield
    with w.connect(tls=T12) as c:
        w.judge(c.do(ttlv.item("DiscoverVersions")))


@step()
def authority_12(w):
    yield
    with w.connect(w.good, tls=T12) as c:
        w.judge(c.do(ttlv.item("DiscoverVersions")))


@step()
def authority_13(w):
    yield
    with w.connect(w.good, tls=T13) as c:
        w.judge(c.do(ttlv.item("DiscoverVersions")))


def outside(w, certificate, tls):
    assert not w.gets_in(certificate, tls=tls), "it got in"


@step()
def revoked_12(w):
    yield
    outside(w, w.bad, T12)


@step()
def revoked_13(w):
    yield
    outside(w, w.bad, T13)


@step()
def stranger(w):
    yield
    outside(w, w.stranger, T13)


def resumed(w, tls, session):
    try:
        reused, _ = kf.resume(w.gw, w.good, tls, session, TIMEOUT)
    except AssertionError as e:
        assert "GeneralFailure" in str(e) or CRYPTO in str(e) or "Reason=256" in str(e), e
        raise Refused("the request") from e
    if not reused:
        raise Refused("a whole handshake")  # which is as good


@step()
def resumed_12(w):
    _, session = kf.resume(w.gw, w.good, T12, None)
    yield
    resumed(w, T12, session)


@step()
def resumed_13(w):
    _, session = kf.resume(w.gw, w.good, T13, None)
    yield
    resumed(w, T13, session)


def walked(w, command):
    """What is told of the last tenant; where no tenant's vault is elsewhere it has to be refused."""
    try:
        return w.control(command)[-1]
    except Refused as e:
        if kf.VAULT == "local" and "no tenant has the vault" in str(e):
            return {"left": 0}
        raise


def rewrapped(w):
    told = walked(w, "keys rewrap")
    if told["left"] > 0:
        raise Refused(told)


@step("keys rewrap")
def rewrap(w):
    """Here, where there are few keys: it goes through all.  What an earlier one left half done is in
    the way of the next until the gateway has come to it."""
    rewrapped(w)
    if kf.VAULT == "keyprotect":
        cloud = kf.the_cloud()
        cloud.settings(rotate_interval_s=0)
        cloud.customer(cloud.root, "rotate")
    yield
    rewrapped(w)
    yield
    assert w.do(on("Get", w.a_key())).key == w.keys[w.a_key()], "another key"


# Objects

@step("CREATE")
def create(w):
    yield
    w.number += 1
    w.made(ttlv.name_attribute("torture %d" % w.number), attribute("x-Note", "t"))


@step("REGISTER")
def register(w):
    material = os.urandom(32)
    yield
    w.keys[w.do(ttlv.register(material)).uid] = material


@step("GET")
def get(w):
    yield
    uid = w.a_key()
    assert w.do(on("Get", uid)).key == w.keys[uid], "another key"


@step()
def get_cold(w):
    """The key is not in memory: the vault opens it, which with Key Protect is a call."""
    w.control("cache flush")
    yield from get(w)


if kf.VAULT == "keyprotect":
    @step()
    def get_by_new_token(w):
        """Key Protect refuses the access token, and IAM gives another."""
        cloud = kf.the_cloud()
        w.control("cache flush")
        os.utime(cloud.api_key("Manager"))  # else nobody asks IAM twice within 30 s
        cloud.void_tokens()
        yield from get(w)


@step()
def get_wrapped(w):
    kek = kept(w, "kek", lambda: w.registered(KEY, WRAP))
    uid = kept(w, "wrapped", lambda: w.registered(PLAIN, ENCRYPT))
    yield
    block = w.do(on("Get", uid, seq(
        "KeyWrappingSpecification", enum("WrappingMethod", 1), seq(
            "EncryptionKeyInformation", ttlv.uid(kek), parameters(NIST)),
        enum("EncodingOption", 1))), **NEW).payload.one("SymmetricKey").one("KeyBlock")
    assert block.path("KeyValue", "KeyMaterial") == WRAPPED, "wrapped otherwise"


@step("LOCATE")
def locate(w):
    yield
    found = w.pay(ttlv.item("Locate", ttlv.name_attribute("first"))).all("UniqueIdentifier")
    assert [n.value for n in found] == [w.a_key()], found


@step("GET_ATTRIBUTES")
def attributes(w):
    yield
    assert w.attributes(w.a_key())["Name"], "no name"


@step("GET_ATTRIBUTE_LIST")
def attribute_list(w):
    yield
    names = [n.value for n in w.pay(on("GetAttributeList", w.a_key())).all("AttributeName")]
    assert "Name" in names and "State" in names, names


@step("CHECK")
def check(w):
    yield
    asked = integer("CryptographicUsageMask", MAC)
    payload = w.pay(on("Check", w.a_key(), asked))
    assert payload.path("CryptographicUsageMask") == MAC, payload  # that which it has not


@step("OBTAIN_LEASE")
def lease(w):
    yield
    assert w.pay(on("ObtainLease", w.a_key())).path("LeaseTime") > 0


def state_is(w, uid, state):
    assert w.attributes(uid, "State")["State"] == [state], state


@step("ACTIVATE")
def activate(w):
    uid = w.made()
    yield
    w.do(on("Activate", uid))
    yield
    state_is(w, uid, ttlv.ACTIVE)


def active(w):
    uid = w.made()
    w.do(on("Activate", uid))
    return uid


@step("REVOKE")
def revoked(w):
    uid = active(w)
    yield
    w.do(revoke(uid))
    yield
    state_is(w, uid, ttlv.DEACTIVATED)


@step("DESTROY")
def destroy(w):
    uid = active(w)
    w.do(revoke(uid))
    yield
    w.do(on("Destroy", w.forget(uid)))
    yield
    w.do(on("Get", uid), "ItemNotFound", "KeyValueNotPresent", "PermissionDenied")


@step("ARCHIVE", "RECOVER")
def archive(w):
    uid = w.forget(w.made())  # when it is refused it may be archived
    yield
    w.do(on("Archive", uid))
    w.do(on("Recover", uid))
    yield
    w.keys[uid] = w.do(on("Get", uid)).key


@step("RE_KEY")
def re_key(w):
    uid = active(w)
    yield
    successor = w.do(on("ReKey", uid)).uid
    w.keys[successor] = None
    yield
    assert w.do(on("Get", successor)).key != w.do(on("Get", uid)).key


@step("DERIVE_KEY")
def derive(w):
    secret = b"a secret to derive from"

    def base():
        uid = w.do(ttlv.register_secret(secret, mask=DERIVE)).uid
        w.do(on("Activate", uid))
        return uid
    uid = kept(w, "base", base)
    yield
    how = seq("DerivationParameters", parameters(hashing=SHA256),
              octets("DerivationData", b"label"))
    derived = w.do(ttlv.item(
        "DeriveKey", enum("ObjectType", 2), ttlv.uid(uid), enum("DerivationMethod", HMAC), how,
        ttlv.template(*ttlv.aes_attributes())), **NEW).uid
    w.keys[derived] = hmac.digest(secret, b"label", "sha256")


@step("IMPORT", "EXPORT")
def transfer(w):
    """A key comes with all its attributes, and goes again."""
    w.number += 1
    uid, key = "00000000-0000-4000-8000-%012d" % w.number, os.urandom(32)
    yield
    uid = w.do(ttlv.item(  # maybe one of the gateway's own
        "Import", ttlv.uid(uid), enum("ObjectType", 2), *ttlv.aes_attributes(),
        attribute("x-Note", "t"), seq("SymmetricKey", ttlv.key_block(key))), **NEW).uid
    w.keys[uid] = key
    assert w.do(on("Export", uid), **NEW).key == key, "another key"


@step()
def template_is_used(w):
    kept(w, "template", lambda: w.do(ttlv.item(
        "Register", enum("ObjectType", 6), ttlv.template(),
        seq("Template", ttlv.name_attribute("torture"), *ttlv.aes_attributes()))).uid)
    yield
    uid = w.do(ttlv.item("Create", enum("ObjectType", 2), ttlv.template(seq(
        "Name", ttlv.text("NameValue", "torture"), enum("NameType", 1))))).uid
    w.keys[uid] = None


# Attributes

def labelled(w):
    uid = w.made()
    w.do(on("AddAttribute", uid, attribute("x-Name", "vm")))
    return uid


@step("ADD_ATTRIBUTE")
def add(w):
    uid = w.made()
    yield
    w.do(on("AddAttribute", uid, attribute("x-Name", "vm")))
    w.labels[uid] = "vm"


@step("MODIFY_ATTRIBUTE")
def modify(w):
    uid = labelled(w)
    yield
    w.do(on("ModifyAttribute", uid, attribute("x-Name", "other", 0)))
    w.labels[uid] = "other"


@step("DELETE_ATTRIBUTE")
def delete(w):
    uid = labelled(w)
    yield
    w.do(on("DeleteAttribute", uid, ttlv.text("AttributeName", "x-Name")))
    w.undone.append(uid)


@step("SET_ATTRIBUTE")
def set_attribute(w):
    uid = labelled(w)
    yield
    w.do(on("SetAttribute", uid, seq("NewAttribute", ttlv.vendor("Name", "set"))), **NEWER)
    w.labels[uid] = "set"


@step("ADJUST_ATTRIBUTE")
def adjust_attribute(w):
    uid = w.made()
    w.do(on("AddAttribute", uid, attribute("x-Name", integer("AttributeValue", 40))))
    yield
    w.do(on("AdjustAttribute", uid, reference("Name", "x"), enum("AdjustmentType", 1),
            integer("AdjustmentValue", 2)), **NEWER)
    w.labels[uid] = 42


@step("GET_USAGE_ALLOCATION")
def usage_allocation(w):
    """What was told is taken, whatever comes."""
    limits = attribute("Usage Limits", seq(
        "AttributeValue", ttlv.Node("UsageLimitsTotal", ttlv.LONG, LIMIT),
        enum("UsageLimitsUnit", 1)))
    uid = kept(w, "limited", lambda: w.registered(os.urandom(16), ENCRYPT, limits))
    yield
    w.taken[1] += 1
    w.do(on("GetUsageAllocation", uid, ttlv.Node("UsageLimitsCount", ttlv.LONG, 1)))
    w.taken[0] += 1
    yield
    value = seq("Attribute", *w.attributes(uid, "Usage Limits")["Usage Limits"][0])
    assert w.taken[0] <= LIMIT - value.path("UsageLimitsCount") <= w.taken[1], (value, w.taken)


# Computing

def cipher_key(w):
    return kept(w, "cipher", lambda: w.registered(KEY, ENCRYPT | DECRYPT))


@step("ENCRYPT")
def encrypt(w):
    uid = cipher_key(w)
    yield
    made = w.pay(on("Encrypt", uid, parameters(ECB), octets("Data", PLAIN)), **NEW)
    assert made.path("Data") == CIPHER, "other data"


@step("DECRYPT")
def decrypt(w):
    uid = cipher_key(w)
    yield
    made = w.pay(on("Decrypt", uid, parameters(ECB), octets("Data", CIPHER)), **NEW)
    assert made.path("Data") == PLAIN, "other data"


@step()
def encrypt_in_parts(w):
    uid = kept(w, "parts", lambda: w.registered(CBC_KEY, ENCRYPT))
    yield
    first = w.pay(on("Encrypt", uid, parameters(CBC), octets("Data", CBC_PLAIN[:16]),
                     octets("IVCounterNonce", KEY), boolean("InitIndicator", True)), **NEW)
    last = w.pay(on("Encrypt", uid, None, octets("Data", CBC_PLAIN[16:]),
                    octets("CorrelationValue", first.path("CorrelationValue")),
                    boolean("FinalIndicator", True)), **NEW)
    assert first.get("Data", b"") + last.path("Data") == CBC_CIPHER, "other data"


def mac_key(w):
    return kept(w, "mac", lambda: w.registered(KEY, MAC | MAC_VERIFY, algorithm=HMAC_SHA256))


@step("MAC")
def mac(w):
    uid = mac_key(w)
    yield
    made = w.pay(on("MAC", uid, octets("Data", PLAIN)), **NEW).path("MACData")
    assert made == hmac.digest(KEY, PLAIN, "sha256"), "another one"


@step("MAC_VERIFY")
def mac_verify(w):
    uid, right = mac_key(w), hmac.digest(KEY, PLAIN, "sha256")
    yield
    for sent, verdict in ((right, 1), (right[::-1], 2)):
        said = w.pay(on("MACVerify", uid, parameters(algorithm=HMAC_SHA256), octets("Data", PLAIN),
                        octets("MACData", sent)), **NEW).path("ValidityIndicator")
        assert said == verdict, said


@step("HASH")
def hashed(w):
    yield
    made = w.pay(ttlv.item("Hash", parameters(hashing=SHA256), octets("Data", PLAIN)), **NEW)
    assert made.path("Data") == hashlib.sha256(PLAIN).digest(), "another one"


@step("RNG_RETRIEVE")
def rng_retrieve(w):
    yield
    drawn = w.pay(ttlv.item("RNGRetrieve", integer("DataLength", 32)), **NEW).path("Data")
    assert len(drawn) == 32 and drawn not in w.drawn, drawn
    w.drawn.append(drawn)


@step("RNG_SEED")
def rng_seed(w):
    yield
    said = w.pay(ttlv.item("RNGSeed", octets("Data", bytes(100))), **NEW)
    assert said.path("DataLength") == 100, said


# What is about no object

@step("QUERY")
def query(w):
    yield
    assert w.pay(ttlv.item("Query", enum("QueryFunction", 1))).all("Operation")


NOTHING = octets("AsynchronousCorrelationValue", b"whatever")


@step("CANCEL")
def cancel(w):
    yield
    assert w.pay(ttlv.item("Cancel", NOTHING)).path("CancellationResult") == 5


@step("POLL")
def poll(w):
    yield
    w.do(ttlv.item("Poll", NOTHING), "ItemNotFound")


@step("LOG")
def log(w):
    yield
    w.do(ttlv.item("Log", ttlv.text("LogMessage", "torture")), **NEWER)


@step("INTEROP")
def interop(w):
    yield
    w.do(ttlv.item("Interop", enum("InteropFunction", 1),
                   ttlv.text("InteropIdentifier", "torture")), **NEWER)


@step("PING")
def ping(w):
    yield
    assert w.pay(ttlv.item("Ping"), **NEWER).value == []


# Batches

@step()
def batch(w):
    """A key is made, put into use and read in one message: all of it is there, or it failed."""
    yield
    answer = w.c().call(ttlv.create(ubid=b"1"), on("Activate", ubid=b"2"), on("Get", ubid=b"3"))
    created, _, got = [w.judge(item) for item in answer.items]
    w.keys[created.uid] = got.key
    yield
    state_is(w, created.uid, ttlv.ACTIVE)


@step()
def undo(w):
    """Its second item fails: whatever became of the first, it is not done."""
    uid = w.made()
    w.undone.append(uid)
    yield
    answer = w.c().call(on("AddAttribute", uid, attribute("x-Name", "vm"), ubid=b"1"),
                        on("AddAttribute", "nobody", attribute("x-Name", "vm"), ubid=b"2"),
                        header=[enum("BatchErrorContinuationOption", 3)])
    first = answer.items[0]
    if first.status != ttlv.UNDONE:
        assert first.status == ttlv.FAILED, answer.node
        w.judge(first)
    w.judge(answer.items[1], "ItemNotFound")


# Commands

LIST = 1000  # keys that a list shows when nobody asks for more


def command(name, *line, holds=lambda w, documents: True):
    """One that needs nothing made ready."""
    def run(w):
        yield
        documents = w.control(*line)
        assert holds(w, documents), documents
    STEPS[name] = Step(run, line[:1])


command("help", "help", holds=lambda w, d: len(d) > 20)
command("log_level", "log-level", "=info", holds=lambda w, d: d[0] == {"log-level": "info"})
command("status", "status", holds=lambda w, d: d[0]["version"])
command("health", "health", holds=lambda w, d: d[0])
command("tenants", "tenants", holds=lambda w, d: len(d[0]) == 2)
command("sessions", "sessions", holds=lambda w, d: d[0])
command("trust_show", "trust show", holds=lambda w, d: len(d) == 2)
command("trust_list", "trust list", holds=lambda w, d: len(d[0]) >= 2)
command("cache_list", "cache list", holds=lambda w, d: len(d) == 1)
command("cache_flush", "cache flush")
command("list", "keys list", holds=lambda w, d:
        len(d[0]) == LIST or {k["uid"] for k in d[0]} >= set(w.keys))


@step("sessions close")
def sessions_close(w):
    with w.connect(w.good) as c:
        w.judge(c.do(ttlv.item("DiscoverVersions")))
        yield
        told = w.control("sessions close", "tenant=b")[0]
        assert told["sessions-closed"] > 0 and c.is_closed(), told


@step("top")
def top(w):
    """Until its second document, which a timer has it show."""
    yield
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(TIMEOUT)
        s.connect(w.gw.socket_path)
        s.sendall(b"top\n")
        with s.makefile("rb") as answer:
            for _ in range(2):
                document = json.loads(answer.readline() or '{"status": "cut short"}')
                if "status" in document:
                    raise Refused(document)
                assert document["version"] and document["operations"], document


@step("keys rebuild")
def rebuild(w):
    """It leaves keys that others are at work on, such as those of the step before."""
    walked(w, "keys rebuild")
    yield
    walked(w, "keys rebuild")


@step("trust pending")
def trust_pending(w):
    outside(w, w.stranger, T13)
    yield
    listed = [row["sha256"] for row in w.control("trust pending")[0]]
    assert w.stranger.digest in listed, listed


@step("keys show")
def show(w):
    yield
    assert w.control("keys show", "=" + w.a_key())[0]["uid"] == w.a_key()


@step("keys purge")
def purge(w):
    uid = active(w)
    w.number += 1
    name = "purge %d" % w.number
    w.do(on("AddAttribute", uid, attribute("x-Name", name)))
    w.do(revoke(uid))
    yield
    w.forget(uid)
    told = w.control("keys purge", "name=" + name, "really=yes")[-1]
    if told["purged"] != 1:
        raise Refused(told)
    yield
    w.do(on("Get", uid), "ItemNotFound", "KeyValueNotPresent", "PermissionDenied")


@step("backup")
def backup(w):
    """A copy of which it is said that it is one can be restored."""
    path = w.path("copy")
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path, 0o700)
    yield
    w.control("backup", "=" + path)
    yield
    if kf.VAULT == "local":
        w.gw.ctl("verify", path)


@step("trust remove")
def trust_remove(w):
    if not w.is_listed():
        w.trust_late()
    yield
    w.trusted = None
    w.control("trust remove", "=" + w.late.digest)
    w.trusted = False
    yield
    assert not w.gets_in(w.late), "it is trusted still"


def trusts_late(w, how):
    """How: gives the command."""
    w.trusted = None
    how()
    w.trusted = True
    yield
    assert w.gets_in(w.late), "it is not trusted"


def distrust_late(w):
    if w.is_listed():
        w.control("trust remove", "=" + w.late.digest)


@step("trust add")
def trust_add(w):
    distrust_late(w)
    yield
    yield from trusts_late(w, w.trust_late)


@step("trust accept")
def trust_accept(w):
    distrust_late(w)
    outside(w, w.late, T13)  # it is pending
    yield
    yield from trusts_late(w, lambda: w.control("trust accept", "=" + w.late.digest, "=a"))


@step()
def stats(w):
    yield
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(TIMEOUT)
        s.connect(w.path("stats.sock"))
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: s.recv(65536), b""))
    if not data.startswith(b"HTTP/1.1 200"):
        raise Refused(data[:40])
    assert data.rstrip().endswith(b"# EOF") or b"keyferry_" in data, data[-200:]


@step("reload")
def reload(w):
    w.known_ticket()
    yield
    w.control("reload")
