// All specs in one process, so that they share one mesh. `node --test run.mjs` runs them all;
// SLUICE_SPECS=regions,tokens runs some.

// `limits` runs when it is asked for: it fails now and then, since the edge sometimes learns too late
// that the viewer's network is narrow.
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
  'firefox',
  'tokens',
];

for (const spec of process.env.SLUICE_SPECS?.split(',') ?? ALL) await import(`./specs/${spec}.mjs`);
