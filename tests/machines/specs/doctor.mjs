import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { WORK } from '../lib/places.mjs';
import { world } from './world.mjs';

/** What there is to look at. */
const CHECKS = [
  ...['certificate', 'buffers', 'port', 'clock', 'dns', 'coordinator', 'peer', 'mtu', 'reach'],
  ...['turn', 'geoip'],
];

const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';

/**
 * @typedef {object} Finding
 * @property {string} check
 * @property {string} of
 * @property {'ok' | 'skip' | 'warn' | 'fail'} verdict
 * @property {string} found
 * @property {string} [mend]
 */

/**
 * Calls the doctor at an edge, as docs/OPERATING.md says.
 *
 * @param {{ secret?: string, ahead?: string, status?: number }} [options] coturn's secret, how far
 *   ahead the clock is, and the status with which the doctor has to end
 * @returns {Promise<Finding[]>}
 */
async function examine({ secret, ahead, status = 0 } = {}) {
  const { deployment } = world();
  const file = join(WORK, 'turn-secret');
  await writeFile(file, secret ?? deployment.turnSecret);
  const clock = ahead
    ? ['env', `LD_PRELOAD=${FAKETIME}`, `FAKETIME=${ahead}`, 'FAKETIME_DONT_FAKE_MONOTONIC=1']
    : [];
  const text = await deployment.machine('paris-1').host.run(
    [
      ...[...clock, '/usr/local/bin/sluice', 'doctor', '--config', '/etc/sluice/edge.toml', '--json'],
      ...['--topology', deployment.topology, '--turn-secret-file', file],
      ...['--geoip', '/usr/local/share/sluice/country.mmdb'],
    ],
    { status },
  );
  return JSON.parse(text).findings;
}

/** @param {Finding[]} findings @param {string} check @param {Finding['verdict']} verdict */
const those = (findings, check, verdict) =>
  findings.filter((one) => one.check === check && one.verdict === verdict);

/**
 * Fails unless something was found, with this advice.
 *
 * @param {Finding[]} findings
 * @param {string} check
 * @param {Finding['verdict']} verdict
 * @param {RegExp} of what it was found at
 * @param {RegExp} mend
 */
function advised(findings, check, verdict, of, mend) {
  const at = those(findings, check, verdict).find((one) => of.test(one.of));
  const all = findings.filter((one) => one.check === check);
  assert.ok(at, `no ${check} with ${verdict} at ${of} in ${JSON.stringify(all, undefined, 1)}`);
  assert.match(at.mend ?? '', mend, JSON.stringify(at));
}

/** What the kernel seems to allow for buffers of sockets. @param {number} bytes */
async function allowBuffers(bytes) {
  const { host } = world().deployment.machine('paris-1');
  await host.shell(`
    echo ${bytes} >/run/bytes-${bytes}
    for name in rmem_max wmem_max; do
      mount --bind /run/bytes-${bytes} /proc/sys/net/core/$name
    done`);
}

test('the doctor finds nothing to mend at an edge of a mesh that is well', async () => {
  await allowBuffers(33_554_432);
  const findings = await examine();
  for (const check of CHECKS) {
    // How old the GeoIP file is depends on when set-up fetched it.
    const good = [...those(findings, check, 'ok'), ...those(findings, check, 'warn')];
    if (check === 'geoip') assert.equal(good.length, 1);
    else assert.ok(those(findings, check, 'ok').length > 0, `${check}: ${JSON.stringify(findings)}`);
  }
  assert.deepEqual(
    findings.filter(({ check, verdict }) => verdict === 'fail' || (verdict === 'warn' && check !== 'geoip')),
    [],
  );
  const reached = those(findings, 'reach', 'ok').map(({ of }) => of.split(', ')[1]);
  assert.deepEqual(reached, ['signalling', 'ICE-TCP', 'media'], 'of the second edge');
});

test('the doctor says how to mend this machine: clock, certificates, buffers, MTU, names, files', async (t) => {
  const { deployment, internet } = world();
  const { host } = deployment.machine('paris-1');
  t.after(async () => {
    await internet.name(deployment.zone);
    await host.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    await allowBuffers(33_554_432);
  });
  await allowBuffers(212_992);
  await host.run(['ip', 'link', 'set', 'eth0', 'mtu', '1330']);
  const elsewhere = deployment.addresses('virginia-1').known;
  const zone = deployment.zone
    .replace(/^(paris-1\..* IN A) .*$/m, `$1 ${elsewhere}`)
    .replace(/^turn\.virginia\..*$/m, '');
  assert.notEqual(zone, deployment.zone);
  await internet.name(zone);

  const findings = await examine({ ahead: '+85d', status: 1 });
  advised(findings, 'clock', 'fail', /meet\.mesh\.example/, /time service/);
  advised(findings, 'certificate', 'warn', /mesh\/cert\.pem/, /sluice pki renew/);
  advised(findings, 'certificate', 'warn', /tls\/cert\.pem/, /^renew it/);
  advised(findings, 'buffers', 'fail', /rmem_max/, /sysctl -w net\.core\.rmem_max=33554432/);
  advised(findings, 'mtu', 'warn', /virginia-1/, /tunnel/);
  advised(findings, 'dns', 'warn', /^paris-1\./, /correct the record/);
  advised(findings, 'dns', 'fail', /^turn\.virginia\./, /make the record/);
  advised(findings, 'geoip', 'warn', /country\.mmdb/, /fetch a newer one/);
});

test('the doctor says how to mend others: firewalls, TURN, the coordinator', async (t) => {
  const { deployment } = world();
  const peer = deployment.machine('virginia-1');
  const turn = deployment.machine('turn-paris');
  const coordinator = deployment.machine('coordinator-1');
  t.after(async () => {
    await peer.admit(deployment.told('virginia-1').rules);
    await coordinator.admit(deployment.told('coordinator-1').rules);
  });
  const open = deployment.told('virginia-1').rules;
  await peer.admit(open.filter(({ protocol }) => protocol !== 'udp'));
  await coordinator.admit([]);

  const closed = await examine({ secret: 'another', status: 1 });
  advised(closed, 'peer', 'fail', /virginia-1/, /UDP to its backbone port is let through/);
  advised(closed, 'reach', 'fail', /virginia-1, media/, /firewall has to let a UDP port/);
  assert.equal(those(closed, 'reach', 'ok').length, 2, 'TCP is open still');
  advised(closed, 'turn', 'fail', /, UDP/, /the same secret/);
  advised(closed, 'turn', 'fail', /, TLS/, /the same secret/);
  advised(closed, 'coordinator', 'fail', /meet\.mesh\.example/, /UDP to its control port/);
  advised(closed, 'clock', 'fail', /meet\.mesh\.example/, /HTTP is up/);

  // coturn as somebody else would configure it.
  await turn.service.stop();
  await turn.host.shell('sed -i /^denied-peer-ip/d /etc/sluice/turnserver.conf');
  await turn.service.start();
  t.after(async () => {
    await turn.service.stop();
    await turn.tell(deployment.told('turn-paris'));
    await turn.service.start();
  });
  await peer.admit(open.filter(({ protocol }) => protocol !== 'tcp'));
  const door = await examine({ status: 1 });
  advised(door, 'turn', 'fail', /, UDP/, /denied-peer-ip/);
  advised(door, 'reach', 'fail', /virginia-1, signalling/, /firewall/);
  advised(door, 'reach', 'fail', /virginia-1, ICE-TCP/, /firewall/);
});
