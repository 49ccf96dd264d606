/** P8 and P12: nobody meets what is another user's, and no text of a user is in Temporal's storage or in a log. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InnkeeperError } from '../../../src/client.js';
import { isPassing } from '../load/submit.js';
import { canaryOf, OPEN_MARK } from '../plan/expectation.js';
import type { Rig } from '../rig.js';
import { surely } from '../surely.js';
import type { Check } from './check.js';
import type { Evidence } from './evidence.js';

/** Searched row by row in Postgres: everything that holds text of a user. */
const TEXTS = `
  select user_id as "userId", text from transcript
  union all select user_id, body::text from turn_events
  union all select t.user_id, concat_ws(' ', c.arguments_json, c.shown, c.title, convert_from(c.output_head, 'LATIN1'))
    from tool_calls c join turns t using (turn_key)
  union all select user_id, concat_ws(' ', prompt, answer) from turns`;

export async function checkCrossUser(evidence: Evidence, rig: Rig): Promise<Check> {
  const { plan, homes } = evidence;
  const canaries = plan.people.map(({ userId }) => ({ userId, canary: canaryOf(plan, userId) }));
  const violations: string[] = [];
  let looked = 0;
  let own = 0;
  for (const { userId, text } of await rig.sql<{ userId: string; text: string }>(TEXTS)) {
    looked += 1;
    for (const owner of canaries.filter(({ canary }) => text.includes(canary))) {
      if (owner.userId === userId) own += 1;
      else violations.push(`${userId} has a text of ${owner.userId}`);
    }
  }
  if (own === 0) violations.push('the search does not find what users have of their own either');
  for (const home of homes) {
    looked += 1;
    const others = canaries.filter(({ userId }) => userId !== home.userId).map(({ canary }) => canary);
    for (const file of await filesWith([home.path], others)) violations.push(`${file} holds a text of another user`);
  }
  return { name: 'P8', promise: 'nothing of one user reaches another', looked, violations };
}

/** Refused cancels of turns that are another user's; the senders by signal of the load sent them (load/submit.ts). */
const REFUSED_CANCELS = `
  select count(*)::int as count from rejected_messages where signal = 'cancelTurn' and code = 'TURN_UNKNOWN'`;

/** Turns of one user asked for in the name of another: none is shown, and none is cancelled. P1 says so of those sent by signal. */
export async function checkSwappedIds({ journal }: Evidence, rig: Rig): Promise<Check> {
  const { client } = rig.stack;
  const violations: string[] = [];
  const byUser = new Map(journal.acknowledged.map(({ userId, turnId }) => [userId, turnId]));
  const owners = [...byUser.keys()];
  const [refused] = await rig.sql<{ count: number }>(REFUSED_CANCELS);
  let looked = refused?.count ?? 0;
  for (const [index, userId] of owners.entries()) {
    const turnId = byUser.get(owners[(index + 1) % owners.length] ?? '') ?? '';
    if (turnId === byUser.get(userId)) continue;
    for (const verb of ['getTurn', 'cancelTurn', 'turnResult'] as const) {
      looked += 1;
      // A client that has to wait for its own process says nothing of the other user.
      const code = await surely(
        () => client[verb]({ userId, turnId }),
        (error) => !isPassing(error),
      ).then(
        () => 'delivered',
        (error: unknown) => (InnkeeperError.is(error) ? error.code : String(error)),
      );
      if (code !== 'TURN_UNKNOWN') violations.push(`${verb} of ${turnId} for ${userId}: ${code}`);
    }
  }
  return { name: 'P8 swapped', promise: 'a turn is known only to its user', looked, violations };
}

export async function checkPlaintext({ plan }: Evidence, rig: Rig): Promise<Check> {
  const canaries = plan.people.map(({ userId }) => canaryOf(plan, userId));
  const logs = [join(rig.dataDir, 'logs'), ...logsOf(rig.stack.dataDir)];
  const storage = readdirSync(rig.dataDir)
    .filter((name) => name.startsWith('temporal.db'))
    .map((name) => join(rig.dataDir, name));
  const places = [...logs, ...storage].filter((path) => existsSync(path));
  const violations = (await filesWith(places, canaries)).map((file) => `${file} holds a text of a user`);
  // Finding nothing says something only where the same search finds what is known to be there.
  const isSignalled = plan.people.some(({ turns }) => turns.some(({ via }) => via === 'signal'));
  if (isSignalled && (await filesWith(storage, [` of ${OPEN_MARK}.`])).length === 0)
    violations.push('the search does not find the prompts that rode in signals either');
  const promise = 'no text of a user in Temporal’s storage or in logs (prompts that rode in signals excepted)';
  return { name: 'P12', promise, looked: storage.length === 0 ? 0 : places.length, violations };
}

function logsOf(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.log'))
    .map((name) => join(folder, name));
}

/** Files below the places that hold one of the texts. @throws Error where the search itself fails */
function filesWith(places: readonly string[], texts: readonly string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const patterns = texts.flatMap((text) => ['-e', text]);
    const args = ['-rlaF', '--devices=skip', ...patterns, '--', ...places];
    execFile('grep', args, { maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && error.code !== 1) return reject(new Error(`grep failed: ${stderr}`));
      resolve(stdout.split('\n').filter(Boolean));
    });
  });
}
