/**
 * Goal: the vendor's own Python clients, unmodified, find nothing amiss with the emulator of their generation: every method
 * they have, errors included. Method: one script a client, which validates each answer strictly against the client's models.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Profile } from '../../src/emulator/index.js';
import { pythonOf } from '../support/python.js';
import { TestEmulator } from './support.js';

const CLIENTS: readonly [Profile, string][] = [
  ['g2', '0.2.0'],
  ['g3', '0.4.0'],
  ['g5', '0.5.0'],
  ['g6', '0.6.0'],
];
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe.concurrent("the vendor's Python clients", () => {
  it.each(CLIENTS)('%s is what dedalus-sdk %s expects', async (profile, version) => {
    const python = pythonOf(version);
    const emulator = await TestEmulator.start(profile);
    try {
      const script = join(ROOT, 'test', 'emulator', 'python', `client_${version.replaceAll('.', '_')}.py`);
      const { url, apiKey } = emulator.running;
      const result = await run(python, [script], { EMULATOR_URL: url, EMULATOR_API_KEY: apiKey });
      expect(result).toEqual({ code: 0, output: 'ok\n' });
    } finally {
      await emulator.stop();
    }
  });
});

function run(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: { ...env, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}
