import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { openChromium } from '../lib/chromium.mjs';
import { until } from '../lib/deadline.mjs';
import { mesh } from './mesh.mjs';

describe('the page before the meeting', () => {
  /** @type {Awaited<ReturnType<typeof openChromium>>} */
  let tab;
  let meeting;

  const state = () => tab.evaluate(() => document.documentElement.dataset['state']);
  const joinPath = () => `/m/${meeting.id}/${meeting.invite}?as=${mesh().edge('paris').client}`;

  before(async () => {
    meeting = await createMeeting(mesh());
    tab = await openChromium('yellow');
  });

  after(() => tab.close());

  test('without a meeting it takes a join link', async () => {
    const { url } = mesh().edge('paris');
    await tab.goto(`${url}/`);
    await tab.page.fill('[data-testid=join-link]', `https://elsewhere.example${joinPath()}`);
    await Promise.all([tab.page.waitForURL(/\/m\//), tab.page.keyboard.press('Enter')]);
    await until('the lobby', async () => (await state()) === 'lobby');
    assert.equal(new URL(tab.page.url()).origin, url);
  });

  test('shows the camera and how loud the microphone is', async () => {
    await tab.goto(`${mesh().edge('paris').url}${joinPath()}`);
    await until('the preview', () =>
      tab.evaluate(() => document.querySelector('.preview video')?.videoWidth),
    );
    await until('the level', () =>
      tab.evaluate(() => {
        const bar = document.querySelector('[data-testid=mic-level] .meter-bar');
        return Number(bar?.style.getPropertyValue('--level')) > 0.1;
      }),
    );
  });

  test('is joined, muted, unmuted and left with the keyboard alone', async () => {
    const { keyboard } = tab.page;
    await tab.page.focus('[data-testid=name]');
    await keyboard.type('Yara');
    await keyboard.press('Enter');
    await until('to be in', async () => (await state()) === 'connected');
    const label = () =>
      tab.evaluate(() =>
        document.querySelector('[data-testid=microphone]')?.getAttribute('aria-label'),
      );
    assert.equal(await label(), 'Mute');
    await keyboard.press('m');
    await until('to be muted', async () => (await label()) === 'Unmute');
    await keyboard.press('m');
    await until('to be heard', async () => (await label()) === 'Mute');
    await keyboard.press('Shift+L');
    await until('to have left', async () => (await state()) === 'ended');
  });
});
