// SPDX-License-Identifier: Apache-2.0
// IBM's own SDK against keyferry-sim: whoever wrote it knew nothing of us.
// node test.js KEYFERRY-SIM CERTIFICATE KEY, with NODE_EXTRA_CA_CERTS naming the certificate.
'use strict';

const assert = require('assert');
const { spawn } = require('child_process');
const crypto = require('crypto');
const http = require('http');
const readline = require('readline');

const KeyProtectV2 = require('@ibm-cloud/ibm-key-protect/ibm-key-protect-api/v2');
const core = require('ibm-cloud-sdk-core');

const INSTANCE = crypto.randomUUID();
const HPCS = crypto.randomUUID();
const KEY_TYPE = 'application/vnd.ibm.kms.key+json';
const POLICY_TYPE = 'application/vnd.ibm.kms.policy+json';
const API_KEYS = {
  Manager: 'manager-api-key',
  Writer: 'writer+api/key=',
  ReaderPlus: 'plus-key',
  Reader: 'reader-key',
  Viewer: 'viewer-key',
};
const base64 = (data) => Buffer.from(data).toString('base64');

let sim; // the process
let urls; // what it announced

function start() {
  sim = spawn(
    process.argv[2],
    [
      '-l',
      '127.0.0.1:0',
      '-H',
      '127.0.0.1:0',
      '-A',
      '127.0.0.1:0',
      '--cert',
      process.argv[3],
      '--key',
      process.argv[4],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return new Promise((resolve, reject) => {
    readline
      .createInterface({ input: sim.stdout })
      .once('line', (line) => resolve(JSON.parse(line)));
    sim.once('exit', (code) => reject(new Error(`keyferry-sim ended at its start: ${code}`)));
  });
}

function stop() {
  return new Promise((resolve) => {
    sim.removeAllListeners('exit');
    sim.once('exit', (code, signal) => resolve(signal || code));
    sim.kill('SIGTERM');
  });
}

function admin(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(urls.admin + path, { method }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => {
        text += chunk;
      });
      answer.on('end', () => {
        if (answer.statusCode >= 300)
          reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
        else resolve(text === '' ? null : JSON.parse(text));
      });
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function setup() {
  const grants = (role) => [INSTANCE, HPCS].map((instance) => ({ instance, roles: [role] }));
  const identities = Object.keys(API_KEYS).map((role) => ({
    subject: `iam-ServiceId-${role}`,
    'api-key': API_KEYS[role],
    grants: grants(role),
  }));

  identities.push({ subject: 'iam-ServiceId-disabled', 'api-key': 'disabled', disabled: true });
  return admin('POST', '/setup', {
    instances: [{ id: INSTANCE }, { id: HPCS, kind: 'hpcs', region: 'eu-de' }],
    identities,
  });
}

function client(role, url = urls.api) {
  const authenticator = new core.IamAuthenticator({ apikey: API_KEYS[role], url: urls.api });
  return new KeyProtectV2({ authenticator, serviceUrl: url });
}

function call(kp, name, params = {}) {
  return kp[name](Object.assign({ bluemixInstance: INSTANCE }, params));
}

function envelope(type, ...resources) {
  return { metadata: { collectionType: type, collectionTotal: resources.length }, resources };
}

async function create(kp, fields, params = {}) {
  const answer = await call(
    kp,
    'createKey',
    Object.assign(
      {
        prefer: 'return=representation',
        body: envelope(KEY_TYPE, Object.assign({ type: KEY_TYPE, extractable: false }, fields)),
      },
      params,
    ),
  );
  assert.strictEqual(answer.status, 201);
  return answer.result.resources[0];
}

// The SDK hands on some answers as streams.
async function whole(body) {
  if (typeof body === 'string') return body;
  let text = '';
  for await (const chunk of body) text += chunk;
  return text;
}

// The call fails with this status and, when named, this code of IBM's.
async function fails(promise, status, code) {
  const error = await promise.then(
    () => assert.fail(`worked, but ${status} was expected`),
    (e) => e,
  );
  if (error instanceof assert.AssertionError) throw error;
  assert.strictEqual(error.status, status, `${error.status} ${error.body}`);
  const body = JSON.parse(await whole(error.body));
  if (code !== undefined) {
    assert.strictEqual(body.metadata.collectionType, 'application/vnd.ibm.kms.error+json');
    assert.strictEqual(body.resources[0].reasons[0].code, code);
    assert.strictEqual(body.resources[0].reasons[0].status, status);
  }
  return body;
}

const tests = {
  async 'IAM: a token for an API key, asked for once'() {
    const kp = client('Manager');
    await admin('DELETE', '/journal');
    for (let i = 0; i < 3; i++) await call(kp, 'getKeys');
    const { operations } = await admin('GET', '/counts');
    assert.strictEqual(operations['iam.token'].calls, 1);
    assert.strictEqual(operations['kms.secrets.list'].calls, 3);
  },

  async 'IAM: unknown and disabled API keys'() {
    for (const [apikey, code] of [
      ['wrong', 'BXNIM0415E'],
      ['disabled', 'BXNIM0462E'],
    ]) {
      const authenticator = new core.IamAuthenticator({ apikey, url: urls.api });
      const body = await fails(
        new KeyProtectV2({ authenticator, serviceUrl: urls.api }).getKeys({
          bluemixInstance: INSTANCE,
        }),
        400,
      );
      assert.strictEqual(body.errorCode, code);
    }
  },

  async 'IAM: an expired or revoked token is 401, and a new one works'() {
    const kp = client('Reader');
    await call(kp, 'getKeys');
    await admin('DELETE', '/tokens');
    await fails(call(kp, 'getKeys'), 401);
    await call(client('Reader'), 'getKeys');
    const other = client('Reader');
    await call(other, 'getKeys');
    await admin('POST', '/clock', { 'advance-s': 3601 });
    await fails(call(other, 'getKeys'), 401);
  },

  async 'keys: create, get and metadata of a root key'() {
    const kp = client('Manager');
    const key = await create(kp, { name: 'root', description: 'for tests', tags: ['a b', 'c'] });
    assert.strictEqual(key.state, 1);
    assert.strictEqual(key.extractable, false);
    assert.strictEqual(key.imported, false);
    assert.strictEqual(key.payload, undefined);
    assert.strictEqual(key.keyRingID, 'default');
    assert.strictEqual(key.createdBy, 'iam-ServiceId-Manager');
    assert.deepStrictEqual(key.tags, ['a b', 'c']);
    assert.match(
      key.crn,
      new RegExp(`^crn:v1:bluemix:public:kms:us-south:a/.*:${INSTANCE}:key:${key.id}$`),
    );
    assert.match(key.creationDate, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const got = (await call(kp, 'getKey', { id: key.id })).result.resources[0];
    assert.strictEqual(got.payload, undefined);
    assert.strictEqual(got.deleted, false);
    assert.strictEqual(got.keyVersion.id, key.keyVersion.id);
    const meta = (await call(client('Reader'), 'getKeyMetadata', { id: key.id })).result
      .resources[0];
    assert.deepStrictEqual(meta, got);
  },

  async 'keys: minimal answers hold the id alone'() {
    const kp = client('Manager');
    const body = envelope(KEY_TYPE, { name: 'minimal', extractable: false });
    for (const prefer of ['return=minimal', undefined]) {
      const { resources } = (await call(kp, 'createKey', { body, prefer })).result;
      assert.deepStrictEqual(Object.keys(resources[0]), ['id']);
    }
  },

  async 'keys: import and read back standard keys of every size'() {
    const kp = client('Writer');
    for (const size of [1, 16, 7500]) {
      const payload = crypto.randomBytes(size).toString('base64');
      const key = await create(kp, { name: `standard ${size}`, extractable: true, payload });
      assert.strictEqual(key.imported, true);
      assert.strictEqual(key.payload, payload);
      assert.strictEqual(key.keyVersion, undefined);
      const got = (await call(client('ReaderPlus'), 'getKey', { id: key.id })).result.resources[0];
      assert.strictEqual(got.payload, payload);
      const meta = (await call(kp, 'getKeyMetadata', { id: key.id })).result.resources[0];
      assert.strictEqual(meta.payload, undefined);
    }
    const made = await create(kp, { name: 'generated', extractable: true });
    assert.strictEqual(Buffer.from(made.payload, 'base64').length, 32);
  },

  async 'keys: what may not be created'() {
    const kp = client('Manager');
    const bad = (fields) => create(kp, fields);
    await fails(bad({ name: 'x' }), 400, 'INVALID_FIELD_ERR');
    await fails(bad({ name: 'n'.repeat(91) }), 400, 'INVALID_FIELD_ERR');
    await fails(bad({ name: 'ok', description: 'd'.repeat(241) }), 400, 'INVALID_FIELD_ERR');
    await fails(bad({ name: 'ok', extractable: 'true' }), 400, 'INVALID_FIELD_ERR');
    await fails(bad({ name: 'ok', payload: '***' }), 400, 'INVALID_FIELD_ERR');
    await fails(bad({ name: 'ok', payload: base64('too short') }), 400, 'INVALID_FIELD_ERR');
    await fails(
      bad({ name: 'ok', extractable: true, payload: base64(Buffer.alloc(7501)) }),
      400,
      'INVALID_FIELD_ERR',
    );
    await fails(
      bad({ name: 'ok', expirationDate: '2001-01-01T00:00:00Z' }),
      400,
      'INVALID_FIELD_ERR',
    );
    await fails(bad({ name: 'ok', surprise: 1 }), 400, 'BAD_BODY_ERR');
    const two = envelope(
      KEY_TYPE,
      { name: 'aa', extractable: true },
      { name: 'bb', extractable: true },
    );
    await fails(call(kp, 'createKey', { body: two }), 400, 'NUM_COLLECTION_RESOURCE_ERR');
    const body = envelope(KEY_TYPE, { name: 'aa', extractable: true });
    body.metadata.collectionTotal = 2;
    await fails(call(kp, 'createKey', { body }), 400, 'COLLECTION_TOTAL_MISMATCH_ERR');
  },

  async 'keys: lists, pages, kinds, count'() {
    const kp = client('Manager');
    const count = async (params) =>
      Number((await call(kp, 'getKeyCollectionMetadata', params)).headers['key-total']);
    const total = await count();
    const { metadata, resources } = (await call(kp, 'getKeys')).result;
    assert.strictEqual(metadata.collectionType, KEY_TYPE);
    assert.strictEqual(metadata.collectionTotal, total);
    assert.strictEqual(resources.length, total);
    assert.ok(resources.every((key) => key.payload === undefined && key.deleted === undefined));
    const seen = [];
    for (let offset = 0; offset < total; offset += 3) {
      const page = (await call(kp, 'getKeys', { limit: 3, offset })).result;
      assert.strictEqual(page.metadata.collectionTotal, page.resources.length);
      seen.push(...page.resources.map((key) => key.id));
    }
    assert.deepStrictEqual(
      seen,
      resources.map((key) => key.id),
    );
    assert.deepStrictEqual(seen, [...seen].sort());
    const past = (await call(kp, 'getKeys', { offset: total })).result;
    assert.deepStrictEqual(past, { metadata: { collectionType: KEY_TYPE, collectionTotal: 0 } });
    const standard = (await call(kp, 'getKeys', { extractable: true })).result.resources;
    assert.ok(standard.length > 0 && standard.every((key) => key.extractable));
    assert.strictEqual(
      (await count({ extractable: true })) + (await count({ extractable: false })),
      total,
    );
    for (const limit of [0, 5001])
      await fails(call(kp, 'getKeys', { limit }), 400, 'INVALID_QUERY_PARAM_ERR');
  },

  async 'wrap and unwrap: given and generated plaintexts, with and without aad'() {
    const writer = client('Writer'),
      reader = client('Reader');
    const { id, keyVersion } = await create(writer, { name: 'wrapper' });
    const plaintext = crypto.randomBytes(32).toString('base64');
    const aad = ['keyferry-v1', 'gateway', 'uid', 'digest'];
    const wrapped = (await call(reader, 'wrapKey', { id, keyActionWrapBody: { plaintext, aad } }))
      .result;
    assert.strictEqual(wrapped.plaintext, undefined);
    assert.strictEqual(wrapped.keyVersion.id, keyVersion.id);
    assert.ok(
      wrapped.ciphertext.length >= 220 && wrapped.ciphertext.length <= 240,
      `${wrapped.ciphertext.length}`,
    );
    const unwrap = (fields) => call(reader, 'unwrapKey', { id, keyActionUnwrapBody: fields });
    const opened = (await unwrap({ ciphertext: wrapped.ciphertext, aad })).result;
    assert.deepStrictEqual(opened, { plaintext, keyVersion: { id: keyVersion.id } });
    const moved = [
      ['keyferry-v1', 'gateway', 'uid'],
      ['keyferry-v1gateway', 'uid', 'digest'],
      ['gateway', 'keyferry-v1', 'uid', 'digest'],
      undefined,
      [],
    ];
    for (const other of moved) {
      await fails(
        unwrap({ ciphertext: wrapped.ciphertext, aad: other }),
        422,
        'UNPROCESSABLE_CIPHERTEXT_ERR',
      );
    }
    const made = (await call(reader, 'wrapKey', { id })).result;
    assert.strictEqual(Buffer.from(made.plaintext, 'base64').length, 32);
    assert.strictEqual(
      (await unwrap({ ciphertext: made.ciphertext })).result.plaintext,
      made.plaintext,
    );
    const damaged = JSON.parse(Buffer.from(made.ciphertext, 'base64'));
    damaged.ciphertext = (damaged.ciphertext[0] === 'A' ? 'B' : 'A') + damaged.ciphertext.slice(1);
    await fails(
      unwrap({ ciphertext: base64(JSON.stringify(damaged)) }),
      422,
      'UNPROCESSABLE_CIPHERTEXT_ERR',
    );
    await fails(unwrap({ ciphertext: 'AAAA' }), 422, 'UNPROCESSABLE_CIPHERTEXT_ERR');
    await fails(unwrap({}), 400, 'INVALID_FIELD_ERR');
    await fails(unwrap({ ciphertext: made.ciphertext, extra: 1 }), 400, 'BAD_BODY_ERR');
    await fails(
      unwrap({ ciphertext: made.ciphertext, aad: ['a'.repeat(256)] }),
      400,
      'INVALID_FIELD_ERR',
    );
  },

  async 'wrap: not by other keys, nor by standard ones; by an import of the same material'() {
    const kp = client('Writer');
    const payload = crypto.randomBytes(32).toString('base64');
    const one = await create(kp, { name: 'imported', payload });
    const two = await create(kp, { name: 'imported again', payload });
    const other = await create(kp, { name: 'other' });
    const standard = await create(kp, { name: 'standard', extractable: true });
    assert.strictEqual(one.imported, true);
    const { ciphertext } = (
      await call(kp, 'wrapKey', { id: one.id, keyActionWrapBody: { plaintext: base64('x') } })
    ).result;
    const unwrap = (id) => call(kp, 'unwrapKey', { id, keyActionUnwrapBody: { ciphertext } });
    assert.strictEqual((await unwrap(two.id)).result.plaintext, base64('x'));
    await fails(unwrap(other.id), 422, 'UNPROCESSABLE_CIPHERTEXT_ERR');
    await fails(call(kp, 'wrapKey', { id: standard.id }), 400, 'KEY_ROOT_REQ_ERR');
  },

  async 'rotate: old ciphertexts stay good, and come back renewed'() {
    const kp = client('Writer');
    const { id, keyVersion: first } = await create(kp, { name: 'rotated' });
    const aad = ['a'];
    const made = (await call(kp, 'wrapKey', { id, keyActionWrapBody: { aad } })).result;
    assert.strictEqual((await call(kp, 'rotateKey', { id })).status, 204);
    await fails(
      call(kp, 'rotateKey', { id, keyActionRotateBody: {} }),
      409,
      'KEY_ROTATION_NOT_PERMITTED',
    );
    const { keyVersion: second, lastRotateDate } = (await call(kp, 'getKeyMetadata', { id })).result
      .resources[0];
    assert.notStrictEqual(second.id, first.id);
    assert.ok(lastRotateDate);
    const body = { ciphertext: made.ciphertext, aad };
    const opened = (await call(kp, 'unwrapKey', { id, keyActionUnwrapBody: body })).result;
    assert.strictEqual(opened.plaintext, made.plaintext);
    assert.strictEqual(opened.keyVersion.id, first.id);
    assert.strictEqual(opened.rewrappedKeyVersion.id, second.id);
    const rewrapped = (await call(kp, 'rewrapKey', { id, keyActionRewrapBody: body })).result;
    assert.strictEqual(rewrapped.plaintext, undefined);
    assert.strictEqual(rewrapped.rewrappedKeyVersion.id, second.id);
    for (const ciphertext of [opened.ciphertext, rewrapped.ciphertext]) {
      const again = (await call(kp, 'unwrapKey', { id, keyActionUnwrapBody: { ciphertext, aad } }))
        .result;
      assert.deepStrictEqual(again, { plaintext: made.plaintext, keyVersion: { id: second.id } });
    }
    const versions = (await call(kp, 'getKeyVersions', { id })).result;
    assert.strictEqual(versions.metadata.collectionTotal, 2);
    assert.deepStrictEqual(
      versions.resources.map((v) => v.id),
      [second.id, first.id],
    );
    const page = (await call(kp, 'getKeyVersions', { id, limit: 1, offset: 1 })).result;
    assert.deepStrictEqual(
      page.resources.map((v) => v.id),
      [first.id],
    );
    await admin('POST', '/clock', { 'advance-s': 3600 });
    assert.strictEqual((await call(client('Writer'), 'rotateKey', { id })).status, 204);
    const imported = await create(client('Writer'), {
      name: 'im',
      payload: base64(Buffer.alloc(16, 7)),
    });
    await fails(
      call(client('Writer'), 'rotateKey', { id: imported.id }),
      400,
      'KEY_PAYLOAD_REQ_ERR',
    );
    const fresh = { payload: base64(Buffer.alloc(32, 8)) };
    await call(client('Writer'), 'rotateKey', { id: imported.id, keyActionRotateBody: fresh });
    const other = await create(client('Writer'), { name: 'generated' });
    await fails(
      call(client('Writer'), 'rotateKey', { id: other.id, keyActionRotateBody: fresh }),
      400,
      'KEY_IMPT_REQ_ERR',
    );
  },

  async 'disable and enable'() {
    const kp = client('Manager');
    const { id } = await create(kp, { name: 'suspended' });
    const { ciphertext } = (await call(kp, 'wrapKey', { id })).result;
    await fails(call(kp, 'enableKey', { id }), 409, 'KEY_ACTION_INVALID_STATE_ERR');
    assert.strictEqual((await call(kp, 'disableKey', { id })).status, 204);
    assert.strictEqual((await call(kp, 'getKeyMetadata', { id })).result.resources[0].state, 2);
    const suspended = await fails(
      call(kp, 'unwrapKey', { id, keyActionUnwrapBody: { ciphertext } }),
      409,
      'KEY_ACTION_INVALID_STATE_ERR',
    );
    assert.strictEqual(
      suspended.resources[0].errorMsg,
      'Conflict: Unwrap with key could not be performed: ' +
        'Please see `reasons` for more details (KEY_ACTION_INVALID_STATE_ERR)',
    );
    await fails(call(kp, 'enableKey', { id }), 409, 'REQ_TOO_EARLY_ERR');
    await admin('POST', '/clock', { 'advance-s': 30 });
    assert.strictEqual((await call(kp, 'enableKey', { id })).status, 204);
    await call(kp, 'unwrapKey', { id, keyActionUnwrapBody: { ciphertext } });
    const standard = await create(kp, { name: 'standard', extractable: true });
    await fails(call(kp, 'disableKey', { id: standard.id }), 400, 'KEY_ROOT_REQ_ERR');
  },

  async aliases() {
    const kp = client('Writer');
    const key = await create(kp, { name: 'named', aliases: ['first-alias'] });
    const other = await create(kp, { name: 'other' });
    assert.deepStrictEqual(key.aliases, ['first-alias']);
    const alias = 'Second_alias';
    const made = (await call(kp, 'createKeyAlias', { id: key.id, alias })).result.resources[0];
    assert.strictEqual(made.keyId, key.id);
    assert.strictEqual(made.alias, alias);
    const got = (await call(kp, 'getKey', { id: alias })).result.resources[0];
    assert.strictEqual(got.id, key.id);
    assert.deepStrictEqual(got.aliases, ['first-alias', alias]);
    assert.ok((await call(kp, 'wrapKey', { id: alias })).result.ciphertext);
    await fails(call(kp, 'getKey', { id: 'second_alias' }), 404, 'KEY_NOT_FOUND_ERR');
    await fails(
      call(kp, 'createKeyAlias', { id: other.id, alias }),
      409,
      'KEY_ALIAS_NOT_UNIQUE_ERR',
    );
    await fails(create(kp, { name: 'third', aliases: [alias] }), 409, 'KEY_ALIAS_NOT_UNIQUE_ERR');
    for (const bad of ['x', 'with.dot', 'policies', crypto.randomUUID(), 'a'.repeat(91)]) {
      await fails(
        call(kp, 'createKeyAlias', { id: other.id, alias: bad }),
        400,
        'INVALID_FIELD_ERR',
      );
    }
    assert.strictEqual((await call(kp, 'deleteKeyAlias', { id: key.id, alias })).status, 204);
    await fails(
      call(kp, 'createKeyAlias', { id: other.id, alias }),
      409,
      'KEY_ALIAS_NOT_UNIQUE_ERR',
    );
    await admin('POST', '/clock', { 'advance-s': 300 });
    await fails(call(kp, 'getKey', { id: alias }), 404, 'KEY_NOT_FOUND_ERR');
    await call(kp, 'createKeyAlias', { id: other.id, alias });
    for (const n of [2, 3, 4, 5])
      await call(kp, 'createKeyAlias', { id: other.id, alias: `more-${n}` });
    await fails(call(kp, 'createKeyAlias', { id: other.id, alias: 'more-6' }), 409);
  },

  async 'key rings'() {
    const kp = client('Manager'),
      writer = client('Writer');
    const ring = 'vmware-ring';
    await call(writer, 'createKeyRing', { keyRingId: ring });
    await fails(call(writer, 'createKeyRing', { keyRingId: ring }), 409);
    const { resources } = (await call(kp, 'listKeyRings')).result;
    assert.deepStrictEqual(
      resources.map((r) => r.id),
      ['default', ring],
    );
    assert.deepStrictEqual(Object.keys(resources[0]), ['id']);
    const key = await create(kp, { name: 'in a ring' }, { xKmsKeyRing: ring });
    assert.strictEqual(key.keyRingID, ring);
    await fails(create(writer, { name: 'denied' }, { xKmsKeyRing: ring }), 401);
    await fails(create(kp, { name: 'lost' }, { xKmsKeyRing: 'no-such-ring' }), 404);
    const listed = (await call(kp, 'getKeys', { xKmsKeyRing: ring })).result.resources;
    assert.deepStrictEqual(
      listed.map((k) => k.id),
      [key.id],
    );
    await fails(
      call(kp, 'getKey', { id: key.id, xKmsKeyRing: 'default' }),
      404,
      'KEY_NOT_FOUND_ERR',
    );
    await call(kp, 'getKey', { id: key.id, xKmsKeyRing: ring });
    await call(kp, 'getKey', { id: key.id });
    await fails(call(kp, 'deleteKeyRing', { keyRingId: ring }), 409);
    await call(kp, 'deleteKey', { id: key.id });
    await fails(call(kp, 'deleteKeyRing', { keyRingId: ring }), 409);
    await call(kp, 'createRequest', {
      options: { url: `/api/v2/key_rings/${ring}`, method: 'DELETE', qs: { force: true } },
      defaultOptions: Object.assign({}, kp.baseOptions, {
        headers: { 'Bluemix-Instance': INSTANCE },
      }),
    });
    assert.strictEqual((await call(kp, 'listKeyRings')).result.resources.length, 1);
  },

  async 'delete, what is left of it, restore'() {
    const kp = client('Manager');
    const root = await create(kp, { name: 'doomed' });
    const { ciphertext } = (await call(kp, 'wrapKey', { id: root.id })).result;
    await fails(call(client('Writer'), 'deleteKey', { id: root.id }), 401);
    assert.strictEqual(
      (await call(kp, 'deleteKey', { id: root.id, prefer: 'return=minimal' })).status,
      204,
    );
    await fails(call(kp, 'deleteKey', { id: root.id }), 410, 'KEY_DELETED_ERR');
    const gone = await fails(
      call(kp, 'unwrapKey', { id: root.id, keyActionUnwrapBody: { ciphertext } }),
      410,
    );
    assert.match(gone.resources[0].errorMsg, /^Gone: The key has been deleted .* 'unwrap' action$/);
    const meta = (await call(kp, 'getKeyMetadata', { id: root.id })).result.resources[0];
    assert.strictEqual(meta.state, 5);
    assert.strictEqual(meta.deletedBy, 'iam-ServiceId-Manager');
    assert.strictEqual(
      Date.parse(meta.restoreExpirationDate) - Date.parse(meta.deletionDate),
      30 * 86400000,
    );
    const ids = async (params) =>
      ((await call(kp, 'getKeys', params)).result.resources || []).map((k) => k.id);
    assert.ok(!(await ids()).includes(root.id));
    assert.ok((await ids({ state: [5] })).includes(root.id));
    assert.ok((await ids({ state: [1, 5] })).includes(root.id));
    await fails(call(kp, 'restoreKey', { id: root.id }), 409, 'REQ_TOO_EARLY_ERR');
    await admin('POST', '/clock', { 'advance-s': 30 });
    const back = await call(kp, 'restoreKey', { id: root.id, prefer: 'return=representation' });
    assert.strictEqual(back.status, 201);
    assert.strictEqual(JSON.parse(await whole(back.result)).resources[0].state, 1);
    await call(kp, 'unwrapKey', { id: root.id, keyActionUnwrapBody: { ciphertext } });
    const standard = await create(kp, {
      name: 'record',
      extractable: true,
      payload: base64('kek'),
    });
    const answer = await call(kp, 'deleteKey', {
      id: standard.id,
      prefer: 'return=representation',
    });
    assert.strictEqual(answer.status, 200);
    assert.strictEqual(answer.result.resources[0].deleted, true);
    await admin('POST', '/clock', { 'advance-s': 30 * 86400 + 1 });
    await fails(
      call(client('Manager'), 'restoreKey', { id: standard.id }),
      400,
      'KEY_RESTORE_EXPIRED',
    );
    await admin('POST', '/clock', { 'advance-s': 60 * 86400 });
    await fails(call(client('Manager'), 'getKey', { id: standard.id }), 404, 'KEY_NOT_FOUND_ERR');
  },

  async 'an expiry date: deactivated keys unwrap, and no longer wrap'() {
    const { clock } = await admin('GET', '/');
    const expirationDate = new Date(Date.parse(clock) + 3600000)
      .toISOString()
      .replace(/\.\d+Z/, 'Z');
    const { id } = await create(client('Manager'), { name: 'expiring', expirationDate });
    const { ciphertext } = (await call(client('Reader'), 'wrapKey', { id })).result;
    await admin('POST', '/clock', { 'advance-s': 3601 });
    const kp = client('Reader');
    assert.strictEqual((await call(kp, 'getKeyMetadata', { id })).result.resources[0].state, 3);
    await call(kp, 'unwrapKey', { id, keyActionUnwrapBody: { ciphertext } });
    await fails(call(kp, 'wrapKey', { id }), 409, 'KEY_ACTION_INVALID_STATE_ERR');
  },

  async 'policies, and deletion by two'() {
    const kp = client('Manager'),
      writer = client('Writer');
    const { id } = await create(kp, { name: 'governed' });
    await fails(call(writer, 'setKeyForDeletion', { id }), 409, 'NOT_DUAL_AUTH_ERR');
    const rotation = { type: POLICY_TYPE, rotation: { enabled: true, interval_month: 3 } };
    const dualAuthDelete = { type: POLICY_TYPE, dualAuthDelete: { enabled: true } };
    await fails(
      call(kp, 'putPolicy', {
        id,
        policy: 'rotation',
        setKeyPoliciesOneOf: envelope(POLICY_TYPE, dualAuthDelete),
      }),
      400,
      'BODY_QUERY_PARAM_MISMATCH_ERR',
    );
    await call(kp, 'putPolicy', {
      id,
      setKeyPoliciesOneOf: envelope(POLICY_TYPE, rotation, dualAuthDelete),
    });
    const { resources } = (await call(kp, 'getPolicy', { id })).result;
    assert.strictEqual(resources[0].rotation.interval_month, 3);
    assert.strictEqual(resources[1].dualAuthDelete.enabled, true);
    await fails(call(kp, 'deleteKey', { id }), 409, 'AUTHORIZATIONS_NOT_MET');
    await call(writer, 'setKeyForDeletion', { id });
    await call(writer, 'unsetKeyForDeletion', { id });
    await fails(call(kp, 'deleteKey', { id }), 409, 'AUTHORIZATIONS_NOT_MET');
    await call(writer, 'setKeyForDeletion', { id });
    await call(kp, 'deleteKey', { id });
    const access = {
      policy_type: 'keyCreateImportAccess',
      policy_data: { enabled: true, attributes: { import_standard_key: false } },
    };
    const put = (policy) =>
      call(kp, 'putInstancePolicy', { setInstancePoliciesOneOf: envelope(POLICY_TYPE, policy) });
    assert.strictEqual((await put(access)).status, 204);
    await fails(
      create(kp, { name: 'record', extractable: true, payload: base64('kek') }),
      409,
      'KEY_CREATE_IMPORT_ACCESS_ERR',
    );
    const set = (await call(kp, 'getInstancePolicy', { policy: 'keyCreateImportAccess' })).result;
    assert.strictEqual(set.resources[0].policy_data.attributes.import_standard_key, false);
    access.policy_data = { enabled: false };
    await put(access);
    await create(kp, { name: 'record', extractable: true, payload: base64('kek') });
  },

  async 'registrations, and the port for allowed addresses'() {
    const kp = client('Manager');
    const { id } = await create(kp, { name: 'unregistered' });
    assert.strictEqual(
      (await call(kp, 'getRegistrations', { id })).result.metadata.collectionTotal,
      0,
    );
    assert.strictEqual((await call(kp, 'getRegistrationsAllKeys')).result.resources, undefined);
    const { resources } = (await call(kp, 'getAllowedIpPort')).result;
    assert.strictEqual(resources[0].private_endpoint_port, Number(new URL(urls.api).port));
  },

  async roles() {
    const manager = client('Manager');
    const { id } = await create(manager, { name: 'guarded' });
    const expected = {
      Reader: 'list wrap',
      ReaderPlus: 'list wrap get',
      Writer: 'list wrap get create alias',
      Viewer: '',
      Manager: 'list wrap get create alias disable',
    };
    for (const role of Object.keys(expected)) {
      const kp = client(role);
      const attempts = {
        list: () => call(kp, 'getKeys'),
        wrap: () => call(kp, 'wrapKey', { id }),
        get: () => call(kp, 'getKey', { id }),
        create: () => create(kp, { name: `by ${role}` }),
        alias: () => call(kp, 'createKeyAlias', { id, alias: `by-${role}` }),
        disable: () => call(kp, 'disableKey', { id }),
      };
      for (const [name, attempt] of Object.entries(attempts)) {
        if (expected[role].split(' ').includes(name)) {
          await attempt();
        } else {
          const body = await fails(attempt(), 401);
          assert.match(body.resources[0].errorMsg, /^Unauthorized: The user does not have access/);
          assert.strictEqual(body.resources[0].reasons, undefined);
        }
      }
    }
  },

  async 'headers: instance and correlation id'() {
    const kp = client('Manager');
    const correlationId = crypto.randomUUID();
    assert.strictEqual(
      (await call(kp, 'getKeys', { correlationId })).headers['correlation-id'],
      correlationId,
    );
    const bad = await fails(kp.getKeys({ bluemixInstance: 'no-uuid' }), 400);
    assert.match(bad.resources[0].errorMsg, /valid Bluemix-Instance Header/);
    await fails(kp.getKeys({ bluemixInstance: crypto.randomUUID() }), 401);
    await fails(call(kp, 'getKey', { id: crypto.randomUUID() }), 404, 'KEY_NOT_FOUND_ERR');
  },

  async 'a handshake that fails, and a reset, are no answers'() {
    const kp = client('Manager');
    await call(kp, 'getKeys');
    for (const mode of ['handshake', 'reset']) {
      await admin('POST', '/outage', { mode });
      const error = await call(kp, 'getKeys').then(
        () => null,
        (e) => e,
      );
      assert.ok(error && error.status === undefined, `${mode}: ${error && error.status}`);
      await admin('POST', '/outage', { mode: 'none' });
      await call(kp, 'getKeys');
    }
  },

  async 'Hyper Protect Crypto Services: own port, own name, sealed'() {
    const kp = client('Manager', urls.hpcs);
    const on = { bluemixInstance: HPCS };
    const key = await create(kp, { name: 'hpcs root' }, on);
    assert.match(key.crn, /^crn:v1:bluemix:public:hs-crypto:eu-de:/);
    await fails(call(client('Manager'), 'getKeys', on), 401);
    await fails(call(kp, 'getKeys'), 401);
    await admin('PATCH', `/instances/${HPCS}`, { sealed: 1 });
    const sealed = await fails(call(kp, 'wrapKey', Object.assign({ id: key.id }, on)), 400);
    assert.match(sealed.resources[0].errorMsg, /CKR_IBM_WK_NOT_INITIALIZED/);
    await admin('PATCH', `/instances/${HPCS}`, { sealed: 0 });
    await call(kp, 'wrapKey', Object.assign({ id: key.id }, on));
  },
};

async function main() {
  let failed = 0;

  urls = await start();
  await setup();
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
      console.log(`ok - ${name}`);
    } catch (error) {
      failed++;
      console.log(`not ok - ${name}\n${error.stack}`);
    }
  }
  const ended = await stop();
  if (ended !== 0) {
    failed++;
    console.log(`not ok - keyferry-sim ended with ${ended}`);
  }
  process.exitCode = failed > 0 ? 1 : 0;
}

main();
