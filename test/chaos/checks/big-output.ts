/** P13: commands that write 100 MB cost their worker less than 64 MB of memory, and other users at most twice the time. */
import { readRssBytes } from '../../../bench/processes.js';
import { quantile } from '../../../bench/statistics.js';
import type { RunContext } from '../run-context.js';
import type { Check } from './check.js';

const OUTPUT_BYTES = 100_000_000;
/** One after the other, so that there is time for dozens of turns of somebody else. */
const BIG_COMMANDS = 40;
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
const SAMPLE_MS = 50;
const TURN_MS_MAX = 120_000;
/** Turns of another user before the output begins, for comparison; as many as there is time for beside it. */
const TURNS_BEFORE = 100;
const SLOWER_MAX = 2;

export async function checkBigOutput({ rig, fleet }: RunContext, judgesTimes: boolean): Promise<Check> {
  const violations: string[] = [];
  const commandOf = (bytes: number): string => `$ head -c ${bytes} /dev/zero | tr '\\0' x`;
  const take = async (userId: string, turnId: string, prompt: string): Promise<void> => {
    await rig.stack.client.submitTurn({ userId, turnId, prompt });
    const { state } = await rig.stack.client.turnResult({ userId, turnId, timeoutMs: TURN_MS_MAX });
    if (state !== 'completed') violations.push(`${turnId} of ${userId} ended ${state}`);
  };
  const timed = async (turnId: string): Promise<number> => {
    const from = performance.now();
    await take('neighbour', turnId, '$ true');
    return performance.now() - from;
  };

  await take('talkative', 'small', commandOf(10));
  await take('neighbour', 'first', '$ true');
  const before: number[] = [];
  while (before.length < TURNS_BEFORE) before.push(await timed(`before-${before.length}`));

  const { pid } = fleet.anyWorker();
  const bytesBefore = readRssBytes(pid);
  let bytesMost = bytesBefore;
  const sampling = setInterval(() => (bytesMost = Math.max(bytesMost, readRssBytes(pid))), SAMPLE_MS);
  const beside: number[] = [];
  try {
    const commands = Array.from({ length: BIG_COMMANDS }, () => commandOf(OUTPUT_BYTES)).join('\n');
    let isOver = false;
    const big = take('talkative', 'big', commands).finally(() => (isOver = true));
    while (!isOver) beside.push(await timed(`beside-${beside.length}`));
    await big;
  } finally {
    clearInterval(sampling);
  }

  const calls = await rig.sql<{ bytes: string }>(
    `select c.output_bytes::text as bytes from tool_calls c join turns t using (turn_key)
     where t.user_id = 'talkative' and t.turn_id = 'big'`,
  );
  const counted = calls.map(({ bytes }) => Number(bytes));
  if (counted.length !== BIG_COMMANDS || counted.some((bytes) => bytes !== OUTPUT_BYTES))
    violations.push(`${counted.join(', ') || 'no'} bytes of output were counted`);
  const grownMiB = (bytesMost - bytesBefore) / 1024 / 1024;
  if (bytesMost - bytesBefore >= GROWTH_BYTES_MAX) violations.push(`the worker grew by ${grownMiB.toFixed(1)} MiB`);
  const slower = quantile(beside, 0.99) / quantile(before, 0.99);
  const times = `a turn of another user took ${slower.toFixed(2)} times its p99, ${beside.length} beside it`;
  if (judgesTimes && slower > SLOWER_MAX) violations.push(times);
  const promise = `100 MB of output cost the worker less than 64 MB (${grownMiB.toFixed(1)} MiB), and others at most twice the time (${times})`;
  return { name: 'P13', promise, looked: BIG_COMMANDS, violations };
}
