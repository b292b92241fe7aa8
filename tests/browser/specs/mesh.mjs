import { after, before } from 'node:test';
import { Mesh } from '../lib/mesh.mjs';

/** @type {Mesh | undefined} */
let running;

/** The mesh that all specs share; it starts before the first and ends after the last. */
export function mesh() {
  if (!running) throw new Error('the mesh runs only while tests do');
  return running;
}

before(async () => {
  running = await Mesh.start();
});

after(async () => {
  await running?.stop();
});
