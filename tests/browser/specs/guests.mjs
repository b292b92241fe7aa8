import { Participant } from '../lib/participant.mjs';
import { mesh } from './mesh.mjs';

/**
 * Lets somebody join for the rest of a test.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('../lib/api.mjs').Meeting} meeting
 * @param {Parameters<typeof Participant.join>[2]} who
 */
export async function join(t, meeting, who) {
  const guest = await open(t, meeting, who);
  await guest.inState('connected');
  return guest;
}

/** As `join`, but does not wait until the participant is in. */
export async function open(t, meeting, who) {
  const guest = await Participant.open(mesh(), meeting, who);
  t.after(() => guest.close());
  return guest;
}
