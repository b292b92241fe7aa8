import { createHmac } from 'node:crypto';
import { request } from 'node:http';

/** The key of a mesh of development. */
const DEVELOPMENT = { id: 'devkey', secret: 'devsecret-devsecret-devsecret-0001' };

/** @param {unknown} value */
export const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * A token with which a back end speaks to the coordinator; with grants, one for a user of its own.
 *
 * @param {{ meeting: string, role: string, name?: string, publish_data?: boolean }} [grants]
 * @param {{ id: string, secret: string }} [key]
 */
export function apiToken(grants, key = DEVELOPMENT) {
  const header = base64url({ alg: 'HS256', typ: 'JWT' });
  const exp = Math.floor(Date.now() / 1_000) + 60;
  const claims = base64url({ iss: key.id, exp, ...(grants && { grants }) });
  const signature = createHmac('sha256', key.secret)
    .update(`${header}.${claims}`)
    .digest('base64url');
  return `${header}.${claims}.${signature}`;
}

/**
 * @typedef {object} Meeting
 * @property {string} id
 * @property {string} invite
 * @property {string} hostKey
 * @property {string} url what guests are sent
 */

/**
 * @param {{ coordinator: string, apiKey?: { id: string, secret: string } }} mesh
 * @param {object} [settings]
 * @returns {Promise<Meeting>}
 */
export async function createMeeting(mesh, settings = {}) {
  const response = await fetch(`${mesh.coordinator}/v1/meetings`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiToken(undefined, mesh.apiKey)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ title: 'Browsers', settings }),
  });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  const meeting = await response.json();
  const invite = new URL(meeting.join_url).pathname.split('/').at(-1) ?? '';
  return { id: meeting.id, invite, hostKey: meeting.host_key, url: meeting.join_url };
}

/**
 * Joins without a browser, as a client does before it opens its socket.
 *
 * @param {{ coordinator: string }} mesh
 * @param {Meeting} meeting
 * @param {string} [as] the address of the client in its place
 */
export async function join(mesh, meeting, as) {
  const query = as ? `?as=${as}` : '';
  const response = await fetch(`${mesh.coordinator}/v1/meetings/${meeting.id}/join${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Nobody', invite: meeting.invite }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return await response.json();
}

/**
 * The status with which an edge answers a WebSocket's upgrade: 101 when it opens.
 *
 * @param {string} endpoint
 * @param {{ protocols?: string[], bearer?: string }} proof
 * @returns {Promise<number>}
 */
export function upgradeStatus(endpoint, { protocols = ['sluice.v1'], bearer }) {
  return new Promise((resolve, reject) => {
    const upgrade = request(endpoint.replace(/^ws/, 'http'), {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.alloc(16, 7).toString('base64'),
        'sec-websocket-protocol': protocols.join(', '),
        ...(bearer && { authorization: `Bearer ${bearer}` }),
      },
    });
    upgrade.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    upgrade.on('upgrade', (_, socket) => {
      socket.destroy();
      resolve(101);
    });
    upgrade.on('error', reject);
    upgrade.end();
  });
}
