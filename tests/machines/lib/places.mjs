import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Where everything that these tests write is. scripts/machines makes it. */
export const WORK = process.env.SLUICE_WORK ?? '';
if (!WORK) throw new Error('run scripts/machines');

mkdirSync(join(WORK, 'logs'), { recursive: true });

export const SLUICE = process.env.SLUICE_BIN ?? '';
