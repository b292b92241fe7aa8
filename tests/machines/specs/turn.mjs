import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { apiToken, createMeeting } from '../../browser/lib/api.mjs';
import { until } from '../../browser/lib/deadline.mjs';
import { way } from '../lib/client.mjs';
import { TurnClient } from '../lib/turn.mjs';
import { sees, world } from './world.mjs';

const TURN = { host: 'turn.paris.mesh.example', port: 443 };

/** coturn's time-limited credential. @param {string} secret @param {number} secondsLeft */
function credential(secret, secondsLeft) {
  const username = `${Math.floor(Date.now() / 1_000) + secondsLeft}:pt_somebody`;
  return { username, credential: createHmac('sha1', secret).update(username).digest('base64') };
}

test('who gets out over 443 alone is in the call, over TLS to TURN', async (t) => {
  const { deployment, clients } = world();
  const meeting = await createMeeting(deployment);
  const ada = await clients.Ada.join(t, meeting, { colour: 'red', before: relayOnly });
  const bo = await clients.Bo.join(t, meeting, { colour: 'green' });

  await sees(bo, 'Ada', 'red');
  await sees(ada, 'Bo', 'green');
  await bo.hears('Ada');
  await ada.hears('Bo');

  const relayed = await until('Ada’s way', () => way(ada));
  assert.deepEqual(
    { kind: relayed.kind, relayProtocol: relayed.relayProtocol, url: relayed.url },
    { kind: 'relay', relayProtocol: 'tls', url: `turns:${TURN.host}:443?transport=tcp` },
  );
  const direct = await until('Bo’s way', () => way(bo));
  assert.equal(direct.protocol, 'udp');
  assert.notEqual(direct.kind, 'relay');
  assert.equal((await clients.Ada.udp()).passed, 0);
  assert.ok((await clients.Bo.udp()).passed > 0);

  assert.equal((await bo.seesTileOf('Ada')).region, 'paris', 'GeoIP knows where Ada is');
  assert.equal((await ada.seesTileOf('Bo')).region, 'virginia', 'GeoIP knows where Bo is');
});

test('Firefox gets through the same NAT', async (t) => {
  const { deployment, clients } = world();
  const meeting = await createMeeting(deployment);
  const ada = await clients.Ada.join(t, meeting, { firefox: true });
  const bo = await clients.Bo.join(t, meeting, { colour: 'green' });
  await sees(ada, 'Bo', 'green');
  // Firefox's own fake camera shows a colour that changes; that it changes is what is looked for.
  await bo.seesPictureOf('Ada');
  // A page in production shows nobody its connection, but reports it.
  const network = await until('Ada’s way', async () => {
    const answer = await fetch(`${deployment.coordinator}/v1/meetings/${meeting.id}/quality`, {
      headers: { authorization: `Bearer ${apiToken(undefined, deployment.apiKey)}` },
    });
    const { participants } = await answer.json();
    const { reports } = participants.find(({ name }) => name === 'Ada');
    return reports.findLast(({ by }) => by === 'client')?.report.network;
  });
  assert.equal(network.kind, 'relay');
});

test('a browser with an expired or a forged credential gets no relay', async (t) => {
  const { deployment, clients } = world();
  const ada = await clients.Ada.join(t, await createMeeting(deployment), { colour: 'red' });
  const url = `turns:${TURN.host}:${TURN.port}?transport=tcp`;
  const gather = (/** @type {object} */ proof) =>
    ada.tab.evaluate(relayCandidates, { urls: url, ...proof });

  const good = await gather(credential(deployment.turnSecret, 60));
  assert.ok(good.candidates.length > 0, JSON.stringify(good));
  for (const proof of [
    credential(deployment.turnSecret, -5),
    credential(`${deployment.turnSecret}x`, 60),
  ]) {
    const refused = await gather(proof);
    assert.deepEqual(refused.candidates, []);
    assert.ok(refused.errors.includes(401), JSON.stringify(refused));
  }
});

test('TURN leads to edges, and not into the cloud’s own network', async (t) => {
  const { deployment } = world();
  const good = credential(deployment.turnSecret, 60);
  const turn = await TurnClient.connect(TURN, good);
  t.after(() => turn.close());
  const relayed = await turn.allocate();
  assert.equal(relayed.address, deployment.addresses('turn-paris').known);
  const edge = deployment.addresses('virginia-1');
  assert.equal(await turn.permit(edge.known), 'permitted');
  const neighbour = deployment.addresses('paris-1').own;
  assert.match(neighbour, /^10\./);
  for (const peer of [
    neighbour,
    deployment.addresses('turn-paris').own,
    '127.0.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '224.0.0.1',
    '0.0.0.0',
  ]) {
    assert.equal(await turn.permit(peer), '403', peer);
  }
});

test('TURN asks everybody for a credential', async () => {
  const { deployment } = world();
  for (const proof of [
    credential(deployment.turnSecret, -5),
    credential('guessed', 60),
    { username: 'nobody', credential: 'nothing' },
  ]) {
    const turn = await TurnClient.connect(TURN, proof);
    await assert.rejects(turn.allocate(), /401/);
    turn.close();
  }
});

/** Runs in the page: media goes over TURN, or not at all. */
function relayOnly() {
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: 'relay' });
    }
  };
}

/** Runs in the page: what a TURN server gives for a credential. @param {RTCIceServer} server */
async function relayCandidates(server) {
  const peer = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
  const candidates = [];
  const errors = [];
  peer.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
  const done = new Promise((resolve) => {
    peer.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) candidates.push(candidate.candidate);
      else if (!candidate) resolve();
    };
  });
  peer.createDataChannel('none');
  await peer.setLocalDescription();
  await done;
  peer.close();
  return { candidates, errors };
}
