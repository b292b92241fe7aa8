import { createHmac } from 'node:crypto';
import { request } from 'node:http';

const API_KEY = 'devkey';
const API_SECRET = 'devsecret-devsecret-devsecret-0001';

/** @param {unknown} value */
export const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * A token with which a back end speaks to the coordinator; with grants, one for a user of its own.
 *
 * @param {{ meeting: string, role: string, name?: string, publish_data?: boolean }} [grants]
 */
export function apiToken(grants) {
  const header = base64url({ alg: 'HS256', typ: 'JWT' });
  const exp = Math.floor(Date.now() / 1_000) + 60;
  const claims = base64url({ iss: API_KEY, exp, ...(grants && { grants }) });
  const signature = createHmac('sha256', API_SECRET)
    .update(`${header}.${claims}`)
    .digest('base64url');
  return `${header}.${claims}.${signature}`;
}

/**
 * @typedef {object} Meeting
 * @property {string} id
 * @property {string} invite
 * @property {string} hostKey
 */

/**
 * @param {import('./mesh.mjs').Mesh} mesh
 * @param {object} [settings]
 * @returns {Promise<Meeting>}
 */
export async function createMeeting(mesh, settings = {}) {
  const response = await fetch(`${mesh.coordinator}/v1/meetings`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiToken()}`, 'content-type': 'application/json' },
    body: JSON.stringify({ title: 'Browsers', settings }),
  });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  const meeting = await response.json();
  const invite = new URL(meeting.join_url).pathname.split('/').at(-1) ?? '';
  return { id: meeting.id, invite, hostKey: meeting.host_key };
}

/**
 * Joins without a browser, as a client does before it opens its socket.
 *
 * @param {import('./mesh.mjs').Mesh} mesh
 * @param {Meeting} meeting
 * @param {string} region
 */
export async function join(mesh, meeting, region) {
  const as = mesh.edge(region).client;
  const response = await fetch(`${mesh.coordinator}/v1/meetings/${meeting.id}/join?as=${as}`, {
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
