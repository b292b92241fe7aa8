import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiToken, createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

const quiet = { audio: false, video: false };

/** The messages in a participant's chat, as they are read. */
const log = (participant) =>
  participant.tab.evaluate(() =>
    [...document.querySelectorAll('[data-testid=chat-log] li')].map((line) => ({
      who: line.querySelector('strong').textContent,
      whom: line.querySelector('.chat-whom')?.textContent ?? '',
      text: line.querySelector('.chat-text').textContent,
    })),
  );

/** Waits until a text is in a participant's chat. */
const reads = (participant, text) =>
  until(`${participant.name} to read “${text}”`, async () =>
    (await log(participant)).find((line) => line.text === text),
  );

/** How many messages a participant has not looked at, as its toolbar says. */
const unread = (participant) =>
  participant.tab.evaluate(
    () => document.querySelector('[data-testid=chat-count]')?.textContent ?? '',
  );

/** Writes and sends with the keyboard alone. */
async function write(participant, text) {
  await participant.tab.page.focus('[data-testid=chat-text]');
  await participant.tab.page.keyboard.type(text);
  await participant.tab.page.keyboard.press('Enter');
}

test('messages cross the regions, to all and to one', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', ...quiet });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', ...quiet });
  const cleo = await join(t, meeting, { name: 'Cléo', region: 'virginia', ...quiet });
  for (const other of ['Bo', 'Cléo']) await ada.seesTileOf(other);

  await t.test('to all, with its author’s name', async () => {
    await ada.tab.page.keyboard.press('c');
    await write(ada, 'Hello <b>world</b>');
    assert.deepEqual(await reads(ada, 'Hello <b>world</b>'), {
      who: 'You',
      whom: '',
      text: 'Hello <b>world</b>',
    });
    await until('Bo to have one unread', async () => (await unread(bo)) === '1');
    await until('Cléo to have one unread', async () => (await unread(cleo)) === '1');
    for (const one of [bo, cleo]) {
      await one.tab.page.keyboard.press('c');
      assert.equal((await reads(one, 'Hello <b>world</b>')).who, 'Ada');
      assert.equal(await unread(one), '');
    }
  });

  await t.test('to one, and nobody else', async () => {
    await bo.tab.page.selectOption('[data-testid=chat-to]', { label: 'Ada' });
    await write(bo, 'For Ada');
    assert.equal((await reads(ada, 'For Ada')).whom, 'to you only');
    assert.equal((await reads(bo, 'For Ada')).whom, 'to Ada only');
    // The way is ordered: what is sent later and is there shows that the other never comes.
    await bo.tab.page.selectOption('[data-testid=chat-to]', { label: 'Everybody' });
    await write(bo, 'For all');
    await reads(cleo, 'For all');
    assert.ok(!(await log(cleo)).some(({ text }) => text === 'For Ada'));
  });

  await t.test('who was granted none sends none, and reads the others', async () => {
    const token = apiToken({ meeting: meeting.id, role: 'speaker', publish_data: false });
    const dan = await join(t, meeting, { name: 'Dan', region: 'paris', token, ...quiet });
    await dan.tab.page.keyboard.press('c');
    await dan.seesTileOf('Ada');
    await write(dan, 'I may not');
    await until('Dan to be told', () =>
      dan.tab.evaluate(() => document.body.textContent.includes('does not grant')),
    );
    await write(ada, 'You may read');
    for (const one of [bo, dan]) await reads(one, 'You may read');
    assert.ok(!(await log(bo)).some(({ text }) => text === 'I may not'));
  });

  await t.test('Escape closes the panel, and the focus is where it was', async () => {
    await ada.tab.page.keyboard.press('Escape');
    const focused = await ada.tab.evaluate(() => document.activeElement?.dataset['action']);
    assert.equal(focused, 'chat');
    assert.equal(await ada.tab.evaluate(() => document.querySelector('.panel').hidden), true);
  });
});
