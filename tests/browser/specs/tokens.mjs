import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { base64url, createMeeting, join, upgradeStatus } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { JOIN_TOKEN_S } from '../lib/mesh.mjs';
import { mesh } from './mesh.mjs';

/** Clocks may be this far apart before an edge refuses a token for its age. Seconds. */
const LEEWAY_S = 60;

describe('an edge lets in by its token alone', () => {
  let endpoint = '';
  let token = '';
  let expiresAt = 0;

  const status = (join_token) =>
    upgradeStatus(endpoint, { protocols: ['sluice.v1', `sluice.token.${join_token}`] });

  before(async () => {
    const admission = await join(mesh(), await createMeeting(mesh()), mesh().edge('paris').client);
    endpoint = admission.signal_endpoint;
    token = admission.join_token;
    expiresAt = admission.expires_at;
  });

  const parts = () => {
    const [header = '', claims = '', signature = ''] = token.split('.');
    const read = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());
    return { header: read(header), claims: read(claims), signature };
  };

  test('the coordinator’s own opens, as a subprotocol and as a header', async () => {
    assert.equal(await status(token), 101);
    assert.equal(await upgradeStatus(endpoint, { bearer: token }), 101);
  });

  test('none is refused', async () => {
    assert.equal(await upgradeStatus(endpoint, {}), 401);
  });

  test('a wrong one is refused: claims that were changed, or no token at all', async () => {
    const { header, claims, signature } = parts();
    const host = { ...claims, role: 'host' };
    assert.equal(await status(`${base64url(header)}.${base64url(host)}.${signature}`), 401);
    assert.equal(await status('nonsense'), 401);
  });

  test('a foreign one is refused: signed by another mesh, under our key’s name', async () => {
    const { header, claims } = parts();
    const { privateKey } = generateKeyPairSync('ed25519');
    const signed = `${base64url(header)}.${base64url(claims)}`;
    const signature = sign(null, Buffer.from(signed), privateKey).toString('base64url');
    assert.equal(await status(`${signed}.${signature}`), 401);
  });

  test('one without a signature is refused, whatever it calls its algorithm', async () => {
    const { header, claims } = parts();
    for (const alg of ['none', 'None', 'HS256']) {
      const unsigned = `${base64url({ ...header, alg })}.${base64url(claims)}.`;
      assert.equal(await status(unsigned), 401);
    }
  });

  test('an expired one is refused', async (t) => {
    const late = () => status(token).then((code) => code !== 101 && code);
    const code = await until('the token to end', late, (JOIN_TOKEN_S + LEEWAY_S) * 1_000);
    assert.equal(code, 401);
    const age = Math.round(Date.now() / 1_000 - expiresAt);
    t.diagnostic(`refused ${age} s after its end`);
    assert.ok(age >= 0);
  });
});
