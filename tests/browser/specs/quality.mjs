import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { apiToken, createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { binary } from '../lib/mesh.mjs';
import { Path } from '../lib/path.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** What is lost of what goes to the impaired viewer. */
const LOST = 0.1;

/** Reports come every ten seconds, the first after three, on a busy machine later. Milliseconds. */
const REPORTED_MS = 60_000;

async function qualityOf(meeting) {
  const response = await fetch(`${mesh().coordinator}/v1/meetings/${meeting.id}/quality`, {
    headers: { authorization: `Bearer ${apiToken()}` },
  });
  assert.equal(response.status, 200, await response.clone().text());
  return await response.json();
}

const tracks = (report, direction) =>
  report.tracks.filter((track) => track.direction === direction && track.loss_ppm !== null);

/** The share of packets that a participant lost on its way in, over all of a reporter's reports. */
function lossOf(participant, by) {
  const all = participant.reports
    .filter((one) => one.by === by)
    .flatMap(({ report }) => tracks(report, 'in').filter((track) => track.kind === 'audio'));
  const bits = all.reduce((sum, track) => sum + track.bitrate_bps, 0);
  return all.reduce((sum, track) => sum + track.loss_ppm * track.bitrate_bps, 0) / bits / 1e6;
}

test('the record of a meeting shows who joined how fast, and whose network loses', async (t) => {
  const meeting = await createMeeting(mesh());
  const path = await Path.to(mesh().edge('frankfurt'));
  t.after(() => path.close());
  path.lose(LOST);
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const watcher = { video: false };
  const bo = await join(t, meeting, {
    name: 'Bo',
    region: 'frankfurt',
    mediaPort: path.port,
    ...watcher,
  });
  await join(t, meeting, { name: 'Cléo', region: 'frankfurt', ...watcher });
  await bo.seesPictureOf('Ada');

  const measured = (participant, by) =>
    participant?.reports.filter((one) => one.by === by && tracks(one.report, 'in').length > 0) ??
    [];
  let record;
  const byName = (name) => record.participants.find((one) => one.name === name);
  await until(
    'everybody to be measured twice by both ends',
    async () => {
      record = await qualityOf(meeting);
      return ['Ada', 'Bo', 'Cléo'].every((name) =>
        ['client', 'edge'].every((by) => measured(byName(name), by).length >= 2),
      );
    },
    REPORTED_MS,
  ).catch((error) => {
    throw new Error(`${error.message}; ${JSON.stringify(record)}`, { cause: error });
  });

  await t.test('each step of a join is there', () => {
    for (const name of ['Ada', 'Bo', 'Cléo']) {
      const { reports, stays, role } = byName(name);
      assert.equal(role, 'speaker');
      assert.equal(stays[0].edge, name === 'Ada' ? 'paris-1' : 'frankfurt-1');
      assert.equal(stays[0].left_at_ms, null);
      const steps = reports
        .filter((one) => one.by === 'client')
        .map(({ report }) => report.join)
        .filter(Boolean)
        .at(-1);
      const { admitted_ms, signalling_ms, answered_ms, connected_ms, first_media_ms } = steps;
      assert.ok(admitted_ms <= signalling_ms, JSON.stringify(steps));
      assert.ok(signalling_ms <= answered_ms, JSON.stringify(steps));
      assert.ok(answered_ms <= connected_ms, JSON.stringify(steps));
      assert.ok(first_media_ms >= answered_ms, JSON.stringify(steps));
      assert.ok(reports.some((one) => one.by === 'edge' && one.report.join?.connected_ms > 0));
    }
  });

  await t.test('whose network loses is seen from both ends, and nobody else loses', (t) => {
    const losses = {};
    for (const name of ['Ada', 'Bo', 'Cléo']) {
      losses[name] = ['client', 'edge'].map((by) => lossOf(byName(name), by));
    }
    t.diagnostic(JSON.stringify(losses));
    for (const loss of losses['Bo']) assert.ok(loss > LOST / 2 && loss < LOST * 2, `${loss}`);
    for (const loss of losses['Cléo']) assert.ok(loss < LOST / 4, `${loss}`);
  });

  await t.test('sound is scored, and sounds worse with loss', (t) => {
    const worst = (name) =>
      Math.min(
        ...measured(byName(name), 'client')
          .flatMap(({ report }) => report.tracks.map((track) => track.mos_centi))
          .filter((mos) => mos !== null),
      );
    t.diagnostic(`Bo ${worst('Bo')}, Cléo ${worst('Cléo')}`);
    assert.ok(worst('Bo') >= 100 && worst('Bo') < worst('Cléo') && worst('Cléo') <= 450);
    assert.match(record.mos_model, /G\.107/);
  });

  await t.test('pictures, layers and ways are there', () => {
    const video = byName('Bo').reports.flatMap(({ by, report }) =>
      tracks(report, 'in').map((track) => ({ by, ...track })),
    );
    const seen = video.filter((one) => one.kind === 'video' && one.bitrate_bps > 0);
    assert.ok(seen.some((one) => one.by === 'client' && one.frame_rate > 0 && one.height > 0));
    assert.ok(seen.some((one) => one.by === 'edge' && /S\dT\d/.test(one.layer)));
    const sent = byName('Ada').reports.flatMap(({ report }) => tracks(report, 'out'));
    assert.ok(sent.some((one) => one.kind === 'video' && one.layer?.startsWith('q')));
    const ways = byName('Ada').reports.map(({ report }) => report.network).filter(Boolean);
    assert.ok(ways.every((way) => way.protocol === 'udp' && way.kind !== 'relay'));
    assert.ok(ways.length > 0);
  });

  await t.test('who left has left, and the terminal shows it', async () => {
    await bo.press('leave');
    await until('Bo to have left', async () => {
      record = await qualityOf(meeting);
      return byName('Bo').stays[0].reason === 'left';
    });
    const args = ['meeting', 'inspect', meeting.id, '--url', mesh().coordinator];
    const { stdout } = await promisify(execFile)(binary(), args);
    assert.match(stdout, /^Bo \(pt_/m);
    assert.match(stdout, /^ {2}at frankfurt-1 from .* \(Left\)$/m);
    assert.match(stdout, /^ {2}join, by its client: admitted \d+ ms, .*first media \d+ ms$/m);
    assert.match(stdout, /^ {2}! .* client /m);
    const json = await promisify(execFile)(binary(), [...args, '--json']);
    assert.equal(JSON.parse(json.stdout).participants.length, 3);
  });
});
