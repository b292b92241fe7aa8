import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { test } from 'node:test';
import { openChromium } from '../lib/chromium.mjs';
import { apiToken, createMeeting, join as admit } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** Where pictures of the page are put, for people to look at. */
const PICTURES = process.env.SLUICE_PICTURES ?? path(tmpdir(), 'sluice-pictures');

/** Texts of all elements that fit. @param {import('playwright-core').Page} page */
const texts = (page, selector) => page.locator(selector).allTextContents();

test('the live page shows the mesh to those who run it', async (t) => {
  const meeting = await createMeeting(mesh());
  await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  await join(t, meeting, { name: 'Bo', region: 'singapore', colour: 'green' });
  const { page, close } = await openChromium('blue', { viewport: { width: 1500, height: 1250 } });
  t.after(() => close());
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    // The refused token's answer is one, and meant.
    if (message.type() === 'error' && !message.text().includes('401')) faults.push(message.text());
  });
  const row = (room) => page.locator(`tr[data-room="${room}"]`);

  await t.test('who has no good token sees nothing', async () => {
    await page.goto(`${mesh().coordinator}/ops`);
    await page.fill('#token', 'nonsense');
    await page.click('form.ask button');
    await until('the refusal', async () => {
      const [refused] = await texts(page, '[data-testid=refused]');
      return refused?.includes('not signed');
    });
    assert.equal(await page.locator('svg').count(), 0);
  });

  await t.test('a link with a token opens it, and does not keep it in the address', async () => {
    await page.goto(`${mesh().coordinator}/ops/#token=${apiToken()}`);
    await page.reload();
    await until('the page to be live', async () => (await texts(page, '[data-testid=status]'))[0] === 'live');
    assert.ok(!page.url().includes('token'), page.url());
  });

  await t.test('regions, links and figures are those of the mesh', async () => {
    await until('all edges', async () => (await texts(page, '[data-testid=edges]'))[0]?.startsWith('5 /'));
    assert.equal(await page.locator('.region.up').count(), 5);
    for (const region of ['paris', 'singapore']) {
      const people = page.locator(`[data-region=${region}]`);
      await until(`one in ${region}`, async () => (await people.getAttribute('data-people')) === '1');
    }
    await until('a link that is measured', async () => {
      const [cells] = await texts(page, 'tr[data-link="paris mumbai"], tr[data-link="mumbai paris"]');
      return /\d ms.*bit\/s/.test(cells ?? '');
    });
    assert.ok((await page.locator('path.link.good').count()) > 0);
  });

  await t.test('the chosen room’s trees are those of its plan', async () => {
    await row(meeting.id).click();
    const tree = page.locator('[data-tree=paris-1]');
    await until('the tree of Paris', async () => (await tree.count()) === 1);
    await until('packets over its hops', async () => /\d+ packets/.test((await tree.textContent()) ?? ''));
    const answer = await fetch(`${mesh().coordinator}/v1/ops/state`, {
      headers: { authorization: `Bearer ${apiToken()}` },
    });
    const { rooms } = await answer.json();
    const { trees } = rooms.find(({ room }) => room === meeting.id);
    const planned = trees.flatMap(({ root, branches }) =>
      branches.map(({ parent, edge }) => `${root}: ${parent} ${edge}`),
    );
    const drawn = await page
      .locator('path.tree')
      .evaluateAll((paths) => paths.map(({ dataset }) => `${dataset.root}: ${dataset.hop}`));
    assert.deepEqual(drawn.sort(), planned.sort());
    assert.ok(planned.length >= 4, `Paris and Singapore have no link of their own: ${planned}`);
    await mkdir(PICTURES, { recursive: true });
    await page.screenshot({ path: path(PICTURES, 'ops.png'), fullPage: true });
    t.diagnostic(`picture: ${path(PICTURES, 'ops.png')}`);
  });

  await t.test('what happens shows as it happens', async () => {
    const other = await createMeeting(mesh());
    const happened = (kind) => page.locator(`.happening.${kind}`, { hasText: other.id });
    assert.equal(await happened('joined').count(), 0);
    await admit(mesh(), other, mesh().edge('mumbai').client);
    await until('the join', async () => (await happened('joined').count()) === 1);
    const ended = await fetch(`${mesh().coordinator}/v1/meetings/${other.id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${apiToken()}` },
    });
    assert.equal(ended.status, 204);
    await until('the end', async () => (await happened('ended').count()) === 1);
  });

  assert.deepEqual(faults, []);
});
