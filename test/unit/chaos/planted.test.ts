/** The bugs that are planted to test the fault suite are patches of the product: each fits the product as it is. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PROJECT_ROOT } from '../../../src/dev/paths.js';

const FOLDER = join(PROJECT_ROOT, 'test', 'chaos', 'planted');
const PATCHES = readdirSync(FOLDER).filter((name) => name.endsWith('.patch'));

describe('a planted bug', () => {
  it('is one of eight', () => expect(PATCHES).toHaveLength(8));

  it.each(PATCHES)('%s fits the product', (patch) => {
    execFileSync('git', ['apply', '--check', join(FOLDER, patch)], { cwd: PROJECT_ROOT, stdio: 'pipe' });
  });
});
