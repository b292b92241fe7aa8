import { afterEach } from 'node:test';
import { Participant } from '../lib/participant.mjs';
import { mesh } from './mesh.mjs';

/** @type {Participant[]} */
let present = [];

/**
 * Lets somebody join for the rest of a test.
 *
 * @param {import('../lib/api.mjs').Meeting} meeting
 * @param {Parameters<typeof Participant.join>[2]} who
 */
export async function join(meeting, who) {
  const guest = await open(meeting, who);
  await guest.inState('connected');
  return guest;
}

/** As `join`, but does not wait until the participant is in. */
export async function open(meeting, who) {
  const guest = await Participant.open(mesh(), meeting, who);
  present.push(guest);
  return guest;
}

afterEach(async () => {
  const guests = present;
  present = [];
  await Promise.all(guests.map((guest) => guest.close()));
});
