// All specs in one process and one after the other, so that they share machines. scripts/machines
// runs this in namespaces of its own.

const ALL = ['turn', 'doctor', 'regions'];

for (const spec of process.env.SLUICE_SPECS?.split(',') ?? ALL) await import(`./specs/${spec}.mjs`);
