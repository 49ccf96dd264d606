/** The story, told by the command itself: every step holds, its report says so, and nothing is left behind. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { startProcess } from '../../src/dev/process.js';
import type { StepResult } from '../../src/story/step.js';
import { waitFor } from '../support/wait-for.js';
import { processesWith } from './support/processes.js';

const STORY_MS = 300_000;
const COLUMNS = 60;
const folder = mkdtempSync(join(tmpdir(), 'innkeeper-told-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('innkeeper dev --story', () => {
  it('tells all nine steps, each borne out by the outside records', { timeout: STORY_MS }, async () => {
    const dataDir = join(folder, 'data');
    const jsonFile = join(folder, 'story.json');
    const lines: string[] = [];
    const story = await startProcess({
      label: 'story',
      command: process.execPath,
      args: [
        join(PROJECT_ROOT, 'dist', 'cli.js'),
        ...['dev', '--story', '--json', jsonFile, '--data', dataDir, '--ports', 'auto'],
      ],
      env: { PATH: process.env['PATH'] ?? '', HOME: folder },
      logFile: join(folder, 'story.log'),
      onLine: (line) => void lines.push(line),
    });
    const { code } = await story.exited;
    const told = lines.join('\n');
    expect(code, `${told}\n${story.logTail()}`).toBe(0);

    const report = JSON.parse(readFileSync(jsonFile, 'utf8')) as { passed: boolean; steps: StepResult[] };
    expect(report.passed).toBe(true);
    expect(report.steps.map(({ number, passed }) => ({ number, passed }))).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => ({ number, passed: true })),
    );
    // Every step asks at least one record that is not ours.
    for (const { findings } of report.steps) {
      expect(findings.some(({ source }) => source === 'provider' || source === 'guest')).toBe(true);
    }
    const widest = lines.toSorted((one, other) => [...other].length - [...one].length)[0] ?? '';
    expect([...widest].length, widest).toBeLessThanOrEqual(COLUMNS);
    await waitFor('nothing of it runs any more', () => processesWith(dataDir).length === 0);
  });
});
