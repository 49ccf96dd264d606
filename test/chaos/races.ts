/**
 * `npm run chaos:races [-- --users U]`: many senders at once. A thousand first messages of one new user: those that are taken are
 * answered once, the others are refused and never run, and one machine is made. Then a wake storm: users whose machines all sleep send
 * five messages each in the same moment, and none fails.
 */
import { parseArgs } from 'node:util';
import { InnkeeperError } from '../../src/client.js';
import { readLines } from '../../src/story/record/guest-record.js';
import { conclude, runProgram, say, UsageError } from './program.js';
import { withRig, type Rig } from './rig.js';
import type { MachineTruth } from './run-context.js';
import { isPassing } from './load/submit.js';
import { surely, within } from './surely.js';

const FIRST_MESSAGES = 1_000;
const STORM_USERS_DEFAULT = 200;
const STORM_MESSAGES = 5;
const TURN_MS_MAX = 600_000;
const ASLEEP_MS_MAX = 300_000;

/** @returns what was not as it must be */
async function firstMessages(rig: Rig): Promise<string[]> {
  const { client } = rig.stack;
  const userId = 'first';
  const ids = Array.from({ length: FIRST_MESSAGES }, (_, index) => `first-${index}`);
  const answers = await Promise.all(
    ids.map((turnId) =>
      surely(
        () => client.submitTurn({ userId, turnId, prompt: `$ echo ${turnId} >> ~/ran.txt` }),
        (error) => !isPassing(error),
      ).then(
        () => ({ turnId, code: '' }),
        (error: unknown) => ({ turnId, code: InnkeeperError.is(error) ? error.code : String(error) }),
      ),
    ),
  );
  const taken = answers.filter(({ code }) => code === '').map(({ turnId }) => turnId);
  const problems = answers
    .filter(({ code }) => code !== '' && code !== 'QUEUE_FULL')
    .map(({ turnId, code }) => `${turnId} was refused with ${code}`);
  for (const turnId of taken) {
    const { state } = await client.turnResult({ userId, turnId, timeoutMs: TURN_MS_MAX });
    if (state !== 'completed') problems.push(`${turnId} ended ${state}`);
  }
  const ran = await linesOf(rig, userId, 'ran.txt');
  if (ran.toSorted().join() !== taken.toSorted().join()) problems.push(`${ran.length} ran of ${taken.length} taken`);
  const created = (await rig.stack.emulator.ledger()).filter(({ kind }) => kind === 'machine.created');
  if (created.length !== 1) problems.push(`${created.length} machines were made`);
  say(`${FIRST_MESSAGES} first messages at once: ${taken.length} taken and answered, ${created.length} machine made`);
  return problems;
}

async function wakeStorm(rig: Rig, users: number): Promise<string[]> {
  const { client } = rig.stack;
  const ids = Array.from({ length: users }, (_, index) => `storm-${index}`);
  const problems: string[] = [];
  const turn = (userId: string, turnId: string) => ({ userId, turnId, prompt: `$ echo ${turnId} >> ~/ran.txt` });
  const finish = async (userId: string, turnId: string): Promise<void> => {
    const { state, errorCode } = await client.turnResult({ userId, turnId, timeoutMs: TURN_MS_MAX });
    if (state !== 'completed') problems.push(`${userId} ${turnId} ended ${state} ${errorCode ?? ''}`);
  };
  for (const userId of ids) await client.submitTurn(turn(userId, 'before'));
  await Promise.all(ids.map((userId) => finish(userId, 'before')));
  for (const userId of ids) await client.sleepNow({ userId });
  const isAsleep = await within(ASLEEP_MS_MAX, async () => {
    const [row] = await rig.sql<{ awake: string }>(
      `select count(*)::text as awake from machines where phase <> 'asleep' and user_id like 'storm-%'`,
    );
    return row?.awake === '0';
  });
  if (!isAsleep) problems.push('not all machines fell asleep before the storm');
  const beganAtMs = Date.now();
  const messages = Array.from({ length: STORM_MESSAGES }, (_, index) => `storm-${index}`);
  await Promise.all(
    ids.flatMap((userId) =>
      messages.map(async (turnId) => {
        await surely(
          () => client.submitTurn(turn(userId, turnId)),
          (error) => !isPassing(error),
        );
        await finish(userId, turnId);
      }),
    ),
  );
  const seconds = ((Date.now() - beganAtMs) / 1_000).toFixed(1);
  for (const userId of ids) {
    const ran = await linesOf(rig, userId, 'ran.txt');
    if (ran.length !== STORM_MESSAGES + 1 || new Set(ran).size !== ran.length) {
      problems.push(`${userId} ran ${ran.length} commands of ${STORM_MESSAGES + 1}`);
    }
  }
  say(`wake storm: ${users} users x ${STORM_MESSAGES} messages after a full sleep, answered in ${seconds} s`);
  return problems;
}

async function linesOf(rig: Rig, userId: string, file: string): Promise<string[]> {
  const [row] = await rig.sql<{ id: string }>(
    `select machine_id as id from machines where user_id = $1 and phase <> 'destroyed'`,
    [userId],
  );
  if (row === undefined) return [];
  return readLines((await rig.stack.emulator.get<MachineTruth>(`/_emulator/machines/${row.id}`)).homePath, file);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { users: { type: 'string' } } });
  const users = Number(values.users ?? STORM_USERS_DEFAULT);
  if (!Number.isInteger(users) || users < 1) throw new UsageError('--users must be a whole number from 1.');
  const env = {
    OPEN_TURNS_MAX: '20',
    IDLE_MS: '600000',
    MACHINE_REQUEST_TIMEOUT_MS: '20000',
    MACHINE_WAKE_TIMEOUT_MS: '120000',
  };
  const problems = await withRig({ keepsData: false, env, openTurnsMax: 20 }, async (rig) => {
    await Promise.all([rig.stack.startWorker(), rig.stack.startWorker()]);
    return [...(await firstMessages(rig)), ...(await wakeStorm(rig, users))];
  });
  conclude(problems);
}

runProgram(
  main,
  `Usage: npm run chaos:races [-- --users N]
  --users N  users of the wake storm`,
);
