import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

test('Firefox and Chromium meet across regions', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const fox = await join(t, meeting, { name: 'Fox', region: 'singapore', firefox: true });
  assert.equal(await fox.seesPictureOf('Ada'), 'red');
  // Firefox's own fake camera shows a colour that changes; that it changes is what is looked for.
  await ada.seesPictureOf('Fox');
  await fox.hears('Ada');
  await ada.hears('Fox');
  await fox.press('leave');
  await ada.missesTileOf('Fox');
});
