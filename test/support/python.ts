/** The Python environments of set-up (scripts/setup/python.mjs). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/dev/paths.js';

const ENVIRONMENTS = process.env['INNKEEPER_PYTHON_VENV_DIR'] ?? join(PROJECT_ROOT, '.cache', 'python');

/** The interpreter of an environment, by its name. */
export function pythonOf(environment: string): string {
  const python = join(ENVIRONMENTS, environment, 'bin', 'python');
  if (!existsSync(python)) throw new Error(`${python} is missing: run the set-up (npm test does)`);
  return python;
}
