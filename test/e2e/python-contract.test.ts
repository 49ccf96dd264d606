/**
 * The contract for other languages, tried from Python: the README's own lines, run with Temporal's Python SDK and nothing of ours,
 * reach an answer; what cannot be taken is recorded as refused, and the lane goes on.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { pythonOf } from '../support/python.js';
import { waitFor } from '../support/wait-for.js';
import { openStage, type Stage } from './support/stage.js';

/** Lanes of all test files share one Temporal server. */
const USER = 'ada-by-python';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => stage.close());

/** The README's lines, sent to the test's own queue; `changes` replaces parts of them. */
function readmeLines(changes: Readonly<Record<string, string>> = {}): string {
  const lines = /```python\n([\s\S]*?)```/.exec(readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8'))?.[1];
  if (lines === undefined) throw new Error('the README shows no Python');
  const all = {
    'task_queue="innkeeper"': `task_queue="${stage.stack.taskQueue}"`,
    'id="user-machine/ada"': `id="user-machine/${USER}"`,
    ...changes,
  };
  return Object.entries(all).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the README's Python lacks ${from}`);
    return text.replace(from, to);
  }, lines);
}

async function run(lines: string): Promise<void> {
  const child = spawn(pythonOf('temporalio'), [join(PROJECT_ROOT, 'test', 'e2e', 'python', 'run_snippet.py')], {
    env: { TEMPORAL_ADDRESS: stage.temporalAddress, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
  child.stdin.end(lines);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  expect({ code, output }).toEqual({ code: 0, output: 'ok\n' });
}

async function refusals(): Promise<{ signal: string; code: string; turn: string | null }[]> {
  return stage.sql(
    `select signal, code, turn_id as turn from rejected_messages where workflow_id = 'user-machine/${USER}' order by id`,
  );
}

describe('a sender that has only a Temporal client', () => {
  it('sends the lines of the README, and the turn is answered', async () => {
    await run(readmeLines());
    const turn = await waitFor('the turn is over', async () => {
      const [first] = await stage.database.turns(USER).catch(() => []);
      return first === undefined || first.endedAt === null ? undefined : first;
    });
    expect(turn, stage.stack.workerLog()).toMatchObject({ turnId: 'msg-2', position: 1, state: 'completed', ends: 1 });
    expect(turn.answer).toMatch(/\b20\d\d\b/);
    expect(await stage.creations(USER)).toHaveLength(1);
  });

  it('sends the same again, and nothing is done twice', async () => {
    await run(readmeLines());
    await run(readmeLines({ '"msg-2"': '"msg-3"' }));
    await waitFor('the next turn is over', async () => (await stage.database.turns(USER))[1]?.state === 'completed');
    expect((await stage.database.turns(USER)).map(({ turnId, ends }) => [turnId, ends])).toEqual([
      ['msg-2', 1],
      ['msg-3', 1],
    ]);
    expect(await refusals()).toEqual([]);
  });

  it('sends what cannot be taken: each refusal is on record with its reason, and the next turn is answered', async () => {
    const prompt = '"prompt": "$ date"';
    const bad: [Record<string, string>, { code: string; turn: string | null }][] = [
      [{ [prompt]: '"prompt": "another"' }, { code: 'TURN_ID_REUSED', turn: 'msg-2' }],
      [{ [prompt]: '"prompt": "  "' }, { code: 'PROMPT_EMPTY', turn: null }],
      [{ [prompt]: '"prompt": "x" * 17_000' }, { code: 'PROMPT_TOO_LARGE', turn: null }],
      [{ '"msg-2"': '"a/b"' }, { code: 'INVALID_TURN_ID', turn: null }],
      [{ '{"turnId": "msg-2", "prompt": "$ date"}': '[1, 2]' }, { code: 'MESSAGE_INVALID', turn: null }],
      [{ '[{"turnId": "msg-2", "prompt": "$ date"}]': '[]' }, { code: 'MESSAGE_INVALID', turn: null }],
      [{ '{"turnId": "msg-2", "prompt": "$ date"}': 'b"\\x00"' }, { code: 'MESSAGE_INVALID', turn: null }],
    ];
    await run(bad.map(([changes]) => readmeLines(changes)).join('\n'));
    await run(readmeLines({ '"msg-2"': '"msg-4"' }));
    await waitFor('the next turn is over', async () => (await stage.database.turns(USER))[2]?.state === 'completed');
    await waitFor('all refusals are recorded', async () => (await refusals()).length >= bad.length);
    const found = await refusals();
    expect(found).toHaveLength(bad.length);
    for (const [, refusal] of bad) expect(found).toContainEqual({ signal: 'enqueueTurn', ...refusal });
    expect((await stage.database.turns(USER)).map(({ turnId }) => turnId)).toEqual(['msg-2', 'msg-3', 'msg-4']);
  });
});
