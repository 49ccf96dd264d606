/** The workflow code as a later release might have it: bundled from a copy of the sources in which texts are replaced. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkflowBundle } from '@temporalio/worker';
import { CACHE_DIR, PROJECT_ROOT } from '../../../src/dev/paths.js';
import { bundleWorkflows } from './lane-harness.js';

/**
 * Each text of `changes` stands once in the file of `src/workflows/`, and is replaced by what it stands for. The copy lives below
 * the project, where packages are found.
 */
export async function bundleChanged(file: string, changes: Readonly<Record<string, string>>): Promise<WorkflowBundle> {
  mkdirSync(CACHE_DIR, { recursive: true });
  const folder = mkdtempSync(join(CACHE_DIR, 'replay-'));
  try {
    for (const part of ['workflows', 'contracts']) {
      cpSync(join(PROJECT_ROOT, 'src', part), join(folder, part), { recursive: true });
    }
    const path = join(folder, 'workflows', file);
    let text = readFileSync(path, 'utf8');
    for (const [from, to] of Object.entries(changes)) {
      const parts = text.split(from);
      if (parts.length !== 2) throw new Error(`"${from}" stands ${parts.length - 1} times in ${file}, not once`);
      text = parts.join(to);
    }
    writeFileSync(path, text);
    return await bundleWorkflows(
      join(folder, 'workflows', 'index.ts'),
      join(folder, 'workflows', 'payload-converter.ts'),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
