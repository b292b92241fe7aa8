import { after, before } from 'node:test';
import { until } from '../../browser/lib/deadline.mjs';
import { Client } from '../lib/client.mjs';
import { Deployment } from '../lib/deployment.mjs';
import { Internet } from '../lib/internet.mjs';

/** Several browsers and a mesh may share few cores. Milliseconds. */
const SEEN_MS = 60_000;

/** With which the mesh begins. */
export const REGIONS = ['paris', 'virginia'];

/** Homes that GeoIP knows: the countries of the regions. */
const HOMES = {
  Ada: { address: '82.64.10.20', letsOut: 'web' },
  Bo: { address: '73.20.30.40', letsOut: 'everything' },
  Chie: { address: '133.11.0.1', letsOut: 'everything' },
};

const internet = new Internet();
const deployment = new Deployment(internet);
/** @type {Record<keyof typeof HOMES, Client>} */
const clients = {};

/** The internet, the mesh on it and the people, which all specs share. */
export function world() {
  return { internet, deployment, clients };
}

/**
 * Waits until somebody sees somebody else's own picture move.
 *
 * @param {import('../../browser/lib/participant.mjs').Participant} viewer
 * @param {string} name
 * @param {string} colour
 */
export function sees(viewer, name, colour) {
  const what = `${viewer.name} to see ${name} in ${colour}`;
  return until(what, async () => (await viewer.seesPictureOf(name)) === colour, SEEN_MS);
}

before(async () => {
  await internet.start();
  for (const [name, home] of Object.entries(HOMES)) {
    clients[name] = await Client.connect(name, internet, home);
  }
  await deployment.start(REGIONS);
});

after(async () => {
  for (const client of Object.values(clients)) client.close();
  await deployment.close();
  internet.close();
});
