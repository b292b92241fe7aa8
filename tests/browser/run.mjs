// All specs in one process, so that they share one mesh. `node --test run.mjs` runs them all;
// SLUICE_SPECS=regions,tokens runs some.

const ALL = [
  'regions',
  'screen',
  'connection',
  'hosts',
  'lobby',
  'speakers',
  'chat',
  'e2ee',
  'layers',
  'svc',
  'limits',
  'quality',
  'firefox',
  'tokens',
  'ops',
  // The mesh is not what it was afterwards.
  'edges',
];

for (const spec of process.env.SLUICE_SPECS?.split(',') ?? ALL) await import(`./specs/${spec}.mjs`);
