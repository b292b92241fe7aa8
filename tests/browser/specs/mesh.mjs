import { after, before } from 'node:test';
import { Mesh } from '../lib/mesh.mjs';

/** @type {Mesh | undefined} */
let running;

/**
 * The mesh that all specs share; it starts before the first and ends after the last. `SLUICE_WAN=1`
 * gives its links the delays that the topology declares.
 */
export function mesh() {
  if (!running) throw new Error('the mesh runs only while tests do');
  return running;
}

before(async () => {
  running = await Mesh.start({ wan: process.env.SLUICE_WAN === '1' });
});

after(async () => {
  await running?.stop();
});
