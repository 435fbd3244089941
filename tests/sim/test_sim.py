# SPDX-License-Identifier: Apache-2.0
"""keyferry-sim where IBM's SDK does not reach: strictness, searches, roles, time, faults."""

import http.client
import json
import socket
import struct
import threading
import time
import unittest
import urllib.parse
import uuid

from simulator import FORM, Sim, envelope, exchange


class SimTest(unittest.TestCase):
    def setUp(self):
        self.sim = Sim()

    def tearDown(self):
        self.assertEqual(self.sim.stop(), 0)

    def fails(self, answer, status, code=None):
        self.assertEqual(answer.status, status, answer.body)
        if code is not None:
            self.assertEqual(answer.code, code)


class Strictness(SimTest):
    def test_headers(self):
        call = self.sim.call
        self.fails(call("GET", "/keys", Bluemix_Instance=None), 400)
        self.fails(call("GET", "/keys", Bluemix_Instance="x"), 400)
        self.fails(call("GET", "/keys", Authorization=None), 401)
        self.fails(call("GET", "/keys", Authorization="Basic x"), 401)
        self.fails(call("GET", "/keys", Correlation_Id="not-a-uuid"), 400)
        self.fails(call("GET", "/keys", Correlation_Id=str(uuid.uuid1())), 400)
        self.fails(call("POST", "/keys", envelope(), Prefer="return=all"), 400)
        self.fails(call("POST", "/keys", envelope(), Content_Type="text/plain"), 400)
        self.fails(call("POST", "/keys", envelope(), Content_Type=None), 400)
        self.assertEqual(call("GET", "/keys", Correlation_Id=None).headers["Correlation-Id"][14], "4")

    def test_bodies(self):
        call = self.sim.call
        good = json.dumps(envelope({"name": "good", "extractable": True}))
        self.assertEqual(call("POST", "/keys", good).status, 201)
        for bad in ("{", "[]", "1", good + " x", "/* */" + good, good.replace("good", "go\\u0000od"),
                    good.replace('"name"', '"name": "a", "name"'), "[" * 100000, b"\xff\xfe" * 9,
                    good.replace("good", "\udcff").encode("utf-8", "surrogatepass")):
            self.fails(call("POST", "/keys", bad), 400, "BAD_BODY_ERR")
        self.fails(call("POST", "/keys"), 400, "NO_BODY_ERR")
        root = self.sim.create("root")["id"]
        self.fails(call("POST", "/keys/%s/actions/unwrap" % root), 400, "NO_BODY_ERR")
        self.fails(call("POST", "/keys/%s/aliases/alias" % root, "{}"), 400, "BAD_BODY_ERR")
        self.fails(exchange(self.sim.api, "POST", "/api/v2/keys", "x" * (2 << 20)), 413)

    def test_queries(self):
        call = self.sim.call
        for query in ("limit=x", "limit=-1", "limit=5&limit=5", "unknown=1", "state=4", "state=1,",
                      "extractable=yes", "sort=name", "sort=", "filter=", "filter=name=x",
                      "filter=creationDate=2026-01-02T03:04:05Z", "search=", "search=exact:", "limit",
                      'filter=creationDate=gte:"2026-02-31T03:04:05Z"', "state=1&filter=state=1",
                      "extractable=true&filter=extractable=true",
                      "filter=" + "+".join(4 * ["creationDate=none"])):
            self.fails(call("GET", "/keys?" + query.replace('"', "%22")), 400,
                       "INVALID_QUERY_PARAM_ERR")
        self.fails(call("HEAD", "/keys?limit=1"), 400)
        self.fails(call("GET", "/keyz"), 404)
        self.fails(call("PUT", "/keys"), 405)
        self.fails(exchange(self.sim.api, "GET", "/journal"), 404)

    def test_action_by_query(self):
        root = self.sim.create("root")["id"]
        made = self.sim.call("POST", "/keys/%s?action=wrap" % root).json
        answer = self.sim.call("POST", "/keys/%s?action=unwrap" % root,
                               {"ciphertext": made["ciphertext"]})
        self.assertEqual(answer.json["plaintext"], made["plaintext"])


class Identity(SimTest):
    def test_forms(self):
        grant = "urn:ibm:params:oauth:grant-type:apikey"
        for form in ({}, {"grant_type": grant}, {"grant_type": grant, "apikey": ""},
                     {"grant_type": "password", "apikey": "Manager"},
                     {"grant_type": grant, "apikey": "Manager", "other": "x"}):
            self.assertEqual(self.sim.form(**form).json["errorCode"], "BXNIM0106E")
        body = urllib.parse.urlencode({"grant_type": grant, "apikey": "Manager"})
        answer = exchange(self.sim.api, "POST", "/identity/token", body)
        self.assertEqual(answer.json["errorCode"], "BXNIM0106E")
        answer = exchange(self.sim.api, "POST", "/oidc/token", body,
                          {"Content-Type": FORM, "Authorization": "Basic Yng6Yng="})
        self.assertEqual(answer.json["expires_in"], 3600)
        self.assertGreater(len(answer.json["access_token"]), 1024)

    def test_trusted_profiles(self):
        self.sim.identity("profile", [{"instance": self.sim.instance, "roles": ["Reader"]}], **{
            "profile-id": "Profile-1", "profile-name": "gateway", "cr-token": "compute"})
        grant = "urn:ibm:params:oauth:grant-type:cr-token"
        for name, value in (("profile_id", "Profile-1"), ("profile_name", "gateway")):
            answer = self.sim.form(grant_type=grant, cr_token="compute", **{name: value})
            self.sim.tokens["cr"] = answer.json["access_token"]
            self.assertEqual(self.sim.call("GET", "/keys", role="cr").status, 200)
        self.fails(self.sim.form(grant_type=grant, cr_token="other", profile_id="Profile-1"), 401)
        self.fails(self.sim.form(grant_type=grant, cr_token="compute"), 400)
        self.fails(self.sim.form(grant_type=grant, cr_token="compute", profile_id="Profile-1",
                                 profile_name="gateway"), 400)
        base, version = "/instance_identity/v1/", "?version=2022-03-01"
        self.fails(exchange(self.sim.api, "PUT", base + "token" + version, "{}"), 400)
        first = exchange(self.sim.api, "PUT", base + "token" + version, '{"expires_in":300}',
                         {"Metadata-Flavor": "ibm"}).json
        self.assertEqual(first["expires_in"], 300)
        second = exchange(self.sim.api, "POST", base + "iam_token" + version,
                          '{"trusted_profile":{"id":"Profile-1"}}',
                          {"Authorization": "Bearer " + first["access_token"]}).json
        self.sim.tokens["vpc"] = second["access_token"]
        self.assertEqual(self.sim.call("GET", "/keys", role="vpc").status, 200)
        self.sim.tokens["first"] = first["access_token"]
        self.fails(self.sim.call("GET", "/keys", role="first"), 401)

    def test_grants(self):
        sim, here = self.sim, self.sim.instance
        sim.call("POST", "/key_rings/ring-a")
        inside, outside = sim.create("inside", ring="ring-a")["id"], sim.create("outside")["id"]
        sim.identity("ring", [{"instance": here, "key-ring": "ring-a", "roles": ["Manager"]}])
        sim.identity("key", [{"instance": here, "key": outside, "roles": ["Writer"]}])
        sim.identity("custom", [{"instance": here, "roles": ["Writer"],
                                 "actions": ["kms.secrets.delete"]}])
        self.assertEqual(sim.names(Authorization="Bearer " + sim.token("ring")), ["inside"])
        self.fails(sim.call("GET", "/keys/" + outside, role="ring"), 401)
        self.assertEqual(sim.create("made", role="ring", ring="ring-a")["keyRingID"], "ring-a")
        self.assertEqual(sim.call("GET", "/keys/" + outside, role="key").status, 200)
        self.fails(sim.call("GET", "/keys/" + inside, role="key"), 401)
        self.assertEqual(sim.names(Authorization="Bearer " + sim.token("key")), [])
        self.fails(sim.call("DELETE", "/keys/" + outside, role="Writer"), 401)
        self.assertEqual(sim.call("DELETE", "/keys/" + outside, role="custom").status, 204)
        sim.identity("custom", [])
        self.fails(sim.call("GET", "/keys", role="custom"), 401)
        sim.admin("POST", "/setup", {"identities": [
            {"subject": "iam-ServiceId-key", "deleted": True}]})
        self.fails(sim.call("GET", "/keys/" + inside, role="key"), 401)

    def test_the_role_counts_before_what_is_there(self):
        sim = self.sim
        nobody, none = "/keys/2f4e01e2-98d5-4b3f-8a5c-0d6a3c1f9b7e", envelope()
        for role, delete, create in (("Reader", 401, 401), ("Writer", 401, 400),
                                     ("Manager", 404, 400)):
            self.fails(sim.call("DELETE", nobody, role=role), delete)
            self.fails(sim.call("POST", "/keys", none, role=role), create)
        self.assertEqual(sim.names(), [])

    def test_root_keys_of_a_setup(self):
        sim = self.sim
        for _ in range(2):  # the second changes nothing
            sim.admin("POST", "/setup", {"instances": [
                {"id": sim.instance, "root-keys": ["vsan-root", "other"]}]})
        sim.admin("POST", "/setup", {"instances": [{"id": sim.instance, "root-keys": ["!"]}]},
                  expect=400)
        found = sim.admin("GET", "/instances/%s/keys" % sim.instance)["keys"]
        self.assertEqual([(k["name"], k["type"], k["state"]) for k in found],
                         [("vsan-root", "root", 1), ("other", "root", 1)])
        answer = sim.call("POST", "/keys/vsan-root/actions/wrap", {}, role="Reader")
        self.assertEqual(answer.status, 200, answer.body)

    def test_discovery(self):
        sim = self.sim
        bearer = {"Authorization": "Bearer " + sim.token("Viewer")}
        answer = exchange(sim.api, "GET", "/crypto_v2/instances/" + sim.hpcs_instance, None, bearer)
        self.assertEqual(answer.json["kms"]["public"], sim.hpcs)
        answer = exchange(sim.api, "GET", "/v2/resource_instances/" + sim.instance, None, bearer)
        self.assertEqual(answer.json["extensions"]["endpoints"]["public"], "http://" + sim.api)
        bearer = {"Authorization": "Bearer " + sim.token("Manager")}
        self.fails(exchange(sim.api, "GET", "/v2/resource_instances/" + sim.instance, None, bearer),
                   401)


class Lists(SimTest):
    def test_search(self):
        sim = self.sim
        ids = {name: sim.record(name)["id"] for name in ("vmware_kmip_a", "Vmware_KMIP_ab", "other")}
        sim.call("POST", "/keys/%s/aliases/kmip-alias" % ids["other"])
        self.assertEqual(sorted(sim.names("?search=KMIP_")), ["Vmware_KMIP_ab", "vmware_kmip_a"])
        self.assertEqual(sim.names("?search=exact:name:vmware_kmip_A"), ["vmware_kmip_a"])
        self.assertEqual(sim.names("?search=alias:kmip"), ["other"])
        self.assertEqual(sim.names("?search=not:kmip"), [])
        self.assertEqual(sim.names("?search=not:name:kmip"), ["other"])
        self.assertEqual(sim.names("?search=escape:name:kmip"), [])
        self.assertEqual(sim.names("?search=" + ids["other"]), ["other"])
        meta = sim.call("GET", "/keys?search=exact:name:other").json["metadata"]
        self.assertEqual(meta["searchQuery"], {"query": "other", "scopes": ["name"], "not": False,
                                               "exact": True})

    def test_search_ceiling(self):
        sim = self.sim
        one = sim.record("one", aliases=["by-alias"])
        sim.admin("POST", "/instances/%s/fill" % sim.instance, {"count": 5000})
        self.fails(sim.call("GET", "/keys?search=exact:name:one"), 400, "KEY_SEARCH_TOO_BROAD")
        for query in (one["id"], "alias:by-alias"):
            answer = sim.call("GET", "/keys?search=" + query).json
            self.assertTrue(answer["metadata"]["incompleteSearch"])
            self.assertEqual([key["id"] for key in answer["resources"]], [one["id"]])
        sim.create("root")
        self.assertEqual(sim.names("?search=name:root&extractable=false"), ["root"])
        page = sim.call("GET", "/keys?limit=5000").json
        self.assertEqual(page["metadata"]["collectionTotal"], 5000)
        self.assertEqual(sim.call("HEAD", "/keys").headers["Key-Total"], "5002")
        foreign = sim.names("?search=exact:name:one&extractable=false")
        self.assertEqual(foreign, [])

    def test_clock_stands_still(self):
        clock = lambda **body: self.sim.admin("POST", "/clock", body)["clock"]
        stopped = clock(stop=True)
        time.sleep(1.1)
        self.assertEqual(clock(), stopped)
        self.assertEqual(clock(**{"advance-s": 3600})[11:13],
                         "%02d" % ((int(stopped[11:13]) + 1) % 24))
        moved = clock()
        self.assertIn(clock(stop=False)[:16], (moved[:16], clock()[:16]))  # no step back or ahead
        time.sleep(1.1)
        self.assertGreater(clock(), moved)

    def test_filter_and_sort(self):
        sim = self.sim
        dates = []
        for name in ("ka", "kb", "kc"):
            dates.append(sim.record(name)["creationDate"])
            sim.advance(100)
        self.assertEqual(sim.names("?sort=creationDate"), ["ka", "kb", "kc"])
        self.assertEqual(sim.names("?sort=-creationDate,id&limit=2"), ["kc", "kb"])
        quoted = urllib.parse.quote('creationDate=gt:"%s" creationDate=lte:"%s"' % (dates[0], dates[2]))
        self.assertEqual(sim.names("?sort=creationDate&filter=" + quoted), ["kb", "kc"])
        gone = sim.call("GET", "/keys?search=exact:name:kb").one["id"]
        sim.call("DELETE", "/keys/" + gone)
        quoted = urllib.parse.quote('deletionDate=gte:"%s" state=5 extractable=true' % dates[0])
        answer = sim.call("GET", "/keys?limit=5000&filter=" + quoted)
        self.assertEqual([key["id"] for key in answer.json["resources"]], [gone])
        self.assertTrue(answer.one["deleted"])
        self.assertEqual(sorted(sim.names("?filter=deletionDate=none")), ["ka", "kc"])

    def test_lags(self):
        sim = self.sim
        sim.settings(list_lag_ms=600, get_lag_ms=300)
        key = sim.record("late")
        self.assertEqual(sim.names(), [])
        self.fails(sim.call("GET", "/keys/" + key["id"]), 404)
        deadline = time.monotonic() + 10
        while sim.call("GET", "/keys/" + key["id"]).status != 200:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        while sim.names() != ["late"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_versions_in_pages(self):
        root = self.sim.create("root")["id"]
        self.sim.settings(rotate_interval_s=0)
        for _ in range(4):
            self.assertEqual(self.sim.call("POST", "/keys/%s/actions/rotate" % root).status, 204)
        answer = self.sim.call("GET", "/keys/%s/versions?limit=2&offset=3&totalCount=true" % root)
        self.assertEqual(answer.json["metadata"]["totalCount"], 5)
        self.assertEqual(len(answer.json["resources"]), 2)


class Life(SimTest):
    def test_purge(self):
        sim = self.sim
        path = "/keys/" + sim.record("record", aliases=["reserved"])["id"]
        self.fails(sim.call("DELETE", path + "/purge", role="KeyPurge"), 409,
                   "KEY_ACTION_INVALID_STATE_ERR")
        sim.call("DELETE", path)
        self.fails(sim.call("DELETE", path + "/purge", role="KeyPurge"), 409, "REQ_TOO_EARLY_ERR")
        self.fails(sim.call("DELETE", path + "/purge"), 401)
        other = sim.create("other")["id"]
        self.fails(sim.call("POST", "/keys/%s/aliases/reserved" % other), 409,
                   "KEY_ALIAS_NOT_UNIQUE_ERR")
        sim.advance(4 * 3600)
        self.assertEqual(sim.call("DELETE", path + "/purge", role="KeyPurge").status, 204)
        self.fails(sim.call("GET", path), 404, "KEY_NOT_FOUND_ERR")
        self.assertEqual(sim.call("POST", "/keys/%s/aliases/reserved" % other).status, 201)

    def test_move(self):
        sim = self.sim
        sim.call("POST", "/key_rings/ring-b")
        path = "/keys/" + sim.create("mover")["id"]
        self.fails(sim.call("PATCH", path, {"keyRingID": "none"}), 404)
        self.fails(sim.call("PATCH", path, {"name": "new"}), 400, "BAD_BODY_ERR")
        self.fails(sim.call("PATCH", path, {"keyRingID": "ring-b"}, role="Writer"), 401)
        self.assertEqual(sim.call("PATCH", path, {"keyRingID": "ring-b"}).one["keyRingID"], "ring-b")
        for ring in ("default", "ring-b"):
            self.assertEqual(sim.call("GET", path, X_Kms_Key_Ring=ring).status, 200)
        sim.advance(601)
        self.fails(sim.call("GET", path, X_Kms_Key_Ring="default"), 404)

    def test_rotation_by_policy(self):
        sim = self.sim
        path = "/keys/" + sim.create("root")["id"]
        policy = {"type": "application/vnd.ibm.kms.policy+json", "rotation": {"interval_month": 1}}
        self.assertEqual(sim.call("PUT", path + "/policies", envelope(policy, kind="policy")).status,
                         200)
        sim.advance(65 * 86400)
        self.assertEqual(sim.call("GET", path + "/versions").json["metadata"]["collectionTotal"], 3)

    def test_customer_acts(self):
        sim = self.sim
        path = "/instances/%s/keys/%s/" % (sim.instance, sim.create("root")["id"])
        key = "/keys/" + path.split("/")[-2] + "/metadata"
        sim.admin("POST", path + "disable")
        self.assertEqual(sim.call("GET", key).one["state"], 2)
        sim.admin("POST", path + "enable", expect=409)
        sim.advance(30)
        sim.admin("POST", path + "enable")
        sim.admin("POST", path + "rotate")
        sim.admin("POST", path + "delete", {"as": "iam-ServiceId-Writer"})
        self.assertEqual(sim.call("GET", key).one["deletedBy"], "iam-ServiceId-Writer")
        sim.advance(30)
        sim.admin("POST", path + "restore")
        self.assertEqual(sim.call("GET", key).one["state"], 1)
        sim.admin("POST", path + "explode", expect=404)

    def test_limits(self):
        sim = self.sim
        sim.settings(keys_max=2, aliases_max=1)
        one, _ = sim.create("one", aliases=["alias-1"]), sim.create("two")
        body = envelope({"name": "three", "extractable": False})
        self.fails(sim.call("POST", "/keys", body), 409)
        self.fails(sim.call("POST", "/keys/%s/aliases/alias-2" % one["id"]), 409)
        sim.admin("PATCH", "/instances/" + sim.instance, {"keys-max": 0}, expect=400)
        sim.admin("PATCH", "/instances/" + sim.instance, {"no-such": 0}, expect=400)
        sim.admin("PATCH", "/instances/" + str(uuid.uuid4()), {}, expect=404)

    def test_old_error_for_ciphertexts(self):
        path = "/keys/" + self.sim.create("root")["id"] + "/actions/unwrap"
        self.fails(self.sim.call("POST", path, {"ciphertext": "AAAA"}), 422,
                   "UNPROCESSABLE_CIPHERTEXT_ERR")
        self.sim.settings(old_unwrap_error=1)
        self.fails(self.sim.call("POST", path, {"ciphertext": "AAAA"}), 400, "UNDEFINED_REASON")

    def test_failover(self):
        sim = self.sim
        kept, gone = sim.record("kept")["id"], sim.record("gone")["id"]
        sim.call("DELETE", "/keys/" + kept)
        sim.admin("POST", "/instances/%s/failover" % sim.instance, {"lose-writes": 2})
        self.assertEqual(sim.call("GET", "/keys/" + kept).one["state"], 1)
        self.fails(sim.call("GET", "/keys/" + gone), 404)
        self.fails(sim.call("DELETE", "/keys/" + kept), 503)
        self.fails(sim.call("POST", "/keys", envelope({"name": "new", "extractable": True})), 503)
        sim.settings(read_only=0)
        self.assertEqual(sim.call("DELETE", "/keys/" + kept).status, 204)


class Faults(SimTest):
    def test_status_and_count(self):
        sim = self.sim
        sim.token("Manager")
        sim.fault(method="GET", path="/api/v2/keys", skip=1, count=2, status=503,
                  body="<html>gateway</html>", content_type="text/html", headers={"Retry-After": "7"})
        statuses = [sim.call("GET", "/keys").status for _ in range(4)]
        self.assertEqual(statuses, [200, 503, 503, 200])
        sim.fault(operation="iam.*", status=429, headers={"Retry-After": "1"})
        answer = sim.form(grant_type="x")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "1"))
        rules = sim.admin("GET", "/faults")["rules"]
        self.assertEqual([rule["hits"] for rule in rules], [2, 1])
        sim.admin("DELETE", "/faults")
        self.fails(sim.form(grant_type="x"), 400)
        for bad in ({}, {"status": 99}, {"end": "explode"}, {"end": "truncate", "commit": False},
                    {"status": 500, "headers": {"a": "b\r\nc"}}, {"unknown": 1, "status": 500}):
            sim.admin("POST", "/faults", bad, expect=400)

    def test_resets(self):
        sim = self.sim
        body = envelope({"name": "record", "extractable": True})
        for commit, expected in ((False, 0), (True, 1)):
            sim.fault(method="POST", path="/api/v2/keys", count=1, end="reset", commit=commit)
            with self.assertRaises((ConnectionResetError, http.client.RemoteDisconnected)):
                sim.call("POST", "/keys", body)
            self.assertEqual(len(sim.names()), expected)
        entries = sim.admin("GET", "/journal?operation=kms.secrets.create")["entries"]
        self.assertEqual([(e["status"], e["committed"]) for e in entries], [(0, False), (0, True)])

    def test_truncation(self):
        sim = self.sim
        key = sim.record("record")["id"]
        sim.fault(path="/api/v2/keys/*", count=1, end="truncate")
        with self.assertRaises(http.client.IncompleteRead):
            sim.call("GET", "/keys/" + key)
        self.assertEqual(sim.call("GET", "/keys/" + key).status, 200)

    def test_latency_and_hang(self):
        sim = self.sim
        sim.token("Manager")
        sim.fault(method="GET", path="/api/v2/keys", count=1, delay_ms=150)
        sim.fault(method="GET", path="/api/v2/keys", count=1, delay_after_ms=150)
        for _ in range(2):
            begun = time.monotonic()
            self.assertEqual(sim.call("GET", "/keys").status, 200)
            self.assertGreaterEqual(time.monotonic() - begun, 0.15)
        sim.fault(method="GET", path="/api/v2/keys", end="hang")
        with self.assertRaises((socket.timeout, TimeoutError)):
            sim.call("GET", "/keys", timeout=0.3)
        failures = []

        def wait():
            try:
                sim.call("GET", "/keys")
            except (ConnectionError, http.client.HTTPException) as e:
                failures.append(e)

        waiter = threading.Thread(target=wait)
        waiter.start()
        while sim.admin("GET", "/counts")["operations"]["kms.secrets.list"]["under-way"] < 2:
            time.sleep(0.01)
        sim.admin("DELETE", "/faults")
        waiter.join(20)
        self.assertEqual(len(failures), 1)
        counts = sim.admin("GET", "/counts")["operations"]["kms.secrets.list"]
        self.assertEqual((counts["under-way"], counts["under-way-max"], counts["failed"]), (0, 2, 2))

    def test_client_that_leaves(self):
        sim = self.sim
        host, port = sim.api.split(":")
        sim.fault(operation="kms.secrets.list", delay_ms=100)
        with socket.create_connection((host, int(port))) as s:
            s.sendall(b"GET /api/v2/keys HTTP/1.1\r\nHost: x\r\n\r\n")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        deadline = time.monotonic() + 10
        while True:
            counts = sim.admin("GET", "/counts")["operations"].get("kms.secrets.list")
            if counts is not None and counts["under-way"] == 0:
                break
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_outages(self):
        sim = self.sim
        sim.token("Manager")
        sim.admin("POST", "/outage", {"mode": "refuse"})
        with self.assertRaises(ConnectionRefusedError):
            sim.call("GET", "/keys")
        sim.admin("POST", "/outage", {"mode": "reset"})
        with self.assertRaises((ConnectionResetError, http.client.RemoteDisconnected)):
            sim.call("GET", "/keys")
        sim.admin("POST", "/outage", {"mode": "none"})
        self.assertEqual(sim.call("GET", "/keys").status, 200)
        sim.admin("POST", "/outage", {"mode": "handshake"}, expect=400)

    def test_rate_limit(self):
        sim = self.sim
        sim.token("Manager")
        sim.settings(rate_per_s=1, rate_burst=2, retry_after_s=3)
        answers = [sim.call("GET", "/keys") for _ in range(4)]
        self.assertEqual([answer.status for answer in answers[:2]], [200, 200])
        self.assertEqual((answers[3].status, answers[3].headers["Retry-After"]), (429, "3"))

    def test_journal(self):
        sim = self.sim
        correlation = str(uuid.uuid4())
        sim.token("Reader")
        sim.admin("DELETE", "/journal")
        sim.call("GET", "/keys?limit=1", role="Reader", Correlation_Id=correlation)
        sim.call("GET", "/keys/" + str(uuid.uuid4()), role="Reader")
        first, second = sim.admin("GET", "/journal")["entries"]
        self.assertEqual(
            [first[name] for name in ("method", "path", "operation", "status", "correlation-id",
                                      "subject", "instance", "port")],
            ["GET", "/api/v2/keys", "kms.secrets.list", 200, correlation, "iam-ServiceId-Reader",
             sim.instance, "api"])
        self.assertEqual((second["status"], second["committed"]), (401, False))
        self.assertEqual(sim.admin("GET", "/journal?since=%d" % first["seq"])["entries"], [second])
        self.assertNotIn(sim.token("Reader"), json.dumps(sim.admin("GET", "/journal")))
        counts = sim.admin("GET", "/counts")["operations"]
        self.assertEqual((counts["kms.secrets.read"]["calls"], counts["kms.secrets.read"]["failed"]),
                         (1, 1))
        sim.admin("GET", "/journal?since=x", expect=400)


if __name__ == "__main__":
    unittest.main()
