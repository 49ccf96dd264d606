/** P13: a command that writes 100 MB costs its worker less than 64 MB of memory. */
import { readRssBytes } from '../../../bench/processes.js';
import type { RunContext } from '../run-context.js';
import type { Check } from './check.js';

const OUTPUT_BYTES = 100_000_000;
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
const SAMPLE_MS = 50;
const TURN_MS_MAX = 120_000;

export async function checkBigOutput({ rig, fleet }: RunContext): Promise<Check> {
  const { client } = rig.stack;
  const violations: string[] = [];
  const turn = (turnId: string, bytes: number) => ({
    userId: 'talkative',
    turnId,
    prompt: `$ head -c ${bytes} /dev/zero | tr '\\0' x`,
  });
  await client.submitTurn(turn('small', 10));
  await client.turnResult({ ...turn('small', 10), timeoutMs: TURN_MS_MAX });
  const { pid } = fleet.anyWorker();
  const before = readRssBytes(pid);
  let most = before;
  const sampling = setInterval(() => (most = Math.max(most, readRssBytes(pid))), SAMPLE_MS);
  try {
    await client.submitTurn(turn('big', OUTPUT_BYTES));
    const { state } = await client.turnResult({ ...turn('big', OUTPUT_BYTES), timeoutMs: TURN_MS_MAX });
    if (state !== 'completed') violations.push(`the turn ended ${state}`);
  } finally {
    clearInterval(sampling);
  }
  const [call] = await rig.sql<{ bytes: string }>(
    `select c.output_bytes::text as bytes from tool_calls c join turns t using (turn_key) where t.user_id = $1 and t.turn_id = 'big'`,
    ['talkative'],
  );
  if (Number(call?.bytes) !== OUTPUT_BYTES) violations.push(`${call?.bytes ?? 'none'} bytes of output were counted`);
  const grown = most - before;
  if (grown >= GROWTH_BYTES_MAX) violations.push(`the worker grew by ${(grown / 1024 / 1024).toFixed(1)} MiB`);
  const promise = `100 MB of output cost the worker less than 64 MB (${(grown / 1024 / 1024).toFixed(1)} MiB)`;
  return { name: 'P13', promise, looked: 1, violations };
}
