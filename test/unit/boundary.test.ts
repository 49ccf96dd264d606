/**
 * Where code may run is enforced: (1) the dependency rules hold on src/; (2) each of them finds what it is for in a tree made to
 * break it, so that none is a rule in name only; (3) the SDK's own bundler takes the workflows with nothing ignored, which is the
 * proof that no import of theirs reaches what the sandbox does not have.
 */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FIXTURE = join(ROOT, 'test', 'unit', 'fixtures', 'boundary');
const CONFIG = join(ROOT, '.dependency-cruiser.cjs');
const CRUISER = join(ROOT, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs');
const SLOW_MS = 60_000;

interface Summary {
  readonly summary: {
    readonly totalCruised: number;
    readonly violations: readonly { from: string; rule: { name: string } }[];
  };
}

function cruise(folder: string): Promise<Summary['summary']> {
  return new Promise((resolve, reject) => {
    const args = [CRUISER, 'src', '--config', CONFIG, '--output-type', 'json'];
    const maxBuffer = 64 * 1024 * 1024;
    // It exits with the number of violations; what it says is the answer.
    execFile(process.execPath, args, { cwd: folder, maxBuffer }, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr, { cause: error }));
      else resolve((JSON.parse(stdout) as Summary).summary);
    });
  });
}

describe('dependency rules', () => {
  it('hold on src/', { timeout: SLOW_MS }, async () => {
    const { totalCruised, violations } = await cruise(ROOT);
    expect(violations).toEqual([]);
    expect(totalCruised).toBeGreaterThan(50);
  });

  it('each find what they are for in a tree that breaks them', { timeout: SLOW_MS }, async () => {
    const { forbidden } = createRequire(import.meta.url)(CONFIG) as { forbidden: { name: string }[] };
    const { violations } = await cruise(FIXTURE);
    const found = new Set(violations.map(({ rule }) => rule.name));
    expect(forbidden.map(({ name }) => name).filter((name) => !found.has(name))).toEqual([]);
    // What the client is made of is as thin as the client.
    const thin = violations.filter(({ rule }) => rule.name === 'client-is-thin').map(({ from }) => from);
    expect(thin).toEqual(expect.arrayContaining(['src/client.ts', 'src/client/lanes.ts']));
  });
});

describe('the workflow bundle', () => {
  it('is made by the SDK with nothing ignored', { timeout: SLOW_MS }, async () => {
    const silent = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(ROOT, 'src', 'workflows', 'index.ts'),
      payloadConverterPath: join(ROOT, 'src', 'workflows', 'payload-converter.ts'),
      workflowInterceptorModules: [join(ROOT, 'src', 'workflows', 'trace-headers.ts')],
      ignoreModules: [],
      logger: silent,
    });
    expect(code).toContain('userMachine');
    // What hands traces on brings no tracer into the sandbox.
    expect(code).toContain('_tracer-data');
    expect(code).not.toContain('@opentelemetry/');
  });
});
