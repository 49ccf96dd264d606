/** Step 8: many messages at once, of one user who is known and of one who is new. */
import { InnkeeperError } from '../../contracts/errors.js';
import type { TurnRow } from '../record/database-record.js';
import { findCommand, readJournal, readLines, type JournalledCommand } from '../record/guest-record.js';
import type { Journal, Step } from '../step.js';
import { machineOf, type Story } from '../story-context.js';

const AT_ONCE = 20;
const FIRST_AT_ONCE = 50;

export const manyMessages: Step<Story> = {
  number: 8,
  title: `${AT_ONCE} messages at once, and ${FIRST_AT_ONCE} first ones`,
  async run(story, journal) {
    await knownUser(story, journal);
    await newUser(story, journal);
  },
};

async function knownUser(story: Story, journal: Journal): Promise<void> {
  const userId = story.users.ada;
  const { homePath } = await machineOf(story, userId);
  journal.show(`ada: ${AT_ONCE} messages at once`);
  const submitted = await submitAtOnce(story, userId, AT_ONCE);
  journal.check(`all ${AT_ONCE} are taken`, 'client', submitted.taken.length === AT_ONCE, {
    refused: submitted.refused,
  });
  await allEnded(story, userId, submitted.taken);
  const turns = (await story.database.turns(userId)).filter(({ turnId }) => submitted.taken.includes(turnId));
  const isDone = turns.every(({ state, ends }) => state === 'completed' && ends === 1);
  journal.check('each is answered once', 'postgres', isDone && turns.length === AT_ONCE, summary(turns));
  const order = readLines(homePath, 'order.txt');
  const inOrder = order.join() === turns.map(({ turnId }) => turnId).join();
  journal.check('in order of their positions', 'guest', inOrder, order);
  const overlaps = overlapsOf(turns, await commandsOf(story, userId, homePath, turns));
  journal.check('one at a time: no two overlap', 'guest', overlaps.length === 0, { overlaps });
}

async function newUser(story: Story, journal: Journal): Promise<void> {
  const userId = story.users.crowd;
  const mark = await story.provider.mark();
  journal.show(`a new user: ${FIRST_AT_ONCE} first messages at once`);
  const { taken, refused } = await submitAtOnce(story, userId, FIRST_AT_ONCE);
  const codes = [...new Set(refused.map(({ code }) => code))];
  const isTold = refused.length > 0 && codes.join() === 'QUEUE_FULL' && taken.length + refused.length === FIRST_AT_ONCE;
  journal.check(`${taken.length} taken, ${refused.length} told QUEUE_FULL`, 'client', isTold, { codes });
  await allEnded(story, userId, taken);
  const turns = await story.database.turns(userId);
  const isDone = turns.every(({ state, ends }) => state === 'completed' && ends === 1);
  journal.check('each that was taken is answered once', 'postgres', isDone, summary(turns));
  const known = turns.map(({ turnId }) => turnId).sort();
  const isExact = known.join() === [...taken].sort().join();
  journal.check('the others are not in the record', 'postgres', isExact, { turns: known.length });
  const { machineId, homePath } = await machineOf(story, userId);
  const order = readLines(homePath, 'order.txt');
  const onlyTaken = order.join() === turns.map(({ turnId }) => turnId).join();
  journal.check('and never ran', 'guest', onlyTaken && readJournal(homePath).length === taken.length, {
    ran: order.length,
    journalled: readJournal(homePath).length,
  });
  const created = (await story.provider.ledger(mark)).filter(({ kind }) => kind === 'machine.created');
  const isOne = created.length === 1 && created[0]?.machineId === machineId;
  journal.check(
    'one create for all of them',
    'provider',
    isOne,
    created.map((entry) => entry.machineId),
  );
}

async function submitAtOnce(
  story: Story,
  userId: string,
  count: number,
): Promise<{ taken: string[]; refused: { turnId: string; code: string }[] }> {
  const ids = Array.from({ length: count }, (_, index) => `m${String(index + 1).padStart(2, '0')}`);
  const taken: string[] = [];
  const refused: { turnId: string; code: string }[] = [];
  await Promise.all(
    ids.map(async (turnId) => {
      try {
        await story.client.submitTurn({ userId, turnId, prompt: `$ echo ${turnId} >> ~/order.txt` });
        taken.push(turnId);
      } catch (error) {
        if (!InnkeeperError.is(error)) throw error;
        refused.push({ turnId, code: error.code });
      }
    }),
  );
  return { taken, refused };
}

async function allEnded(story: Story, userId: string, turnIds: readonly string[]): Promise<void> {
  await Promise.all(turnIds.map((turnId) => story.client.turnResult({ userId, turnId, timeoutMs: 120_000 })));
}

async function commandsOf(
  story: Story,
  userId: string,
  homePath: string,
  turns: readonly TurnRow[],
): Promise<(JournalledCommand | undefined)[]> {
  const calls = await Promise.all(turns.map(({ turnId }) => story.database.calls({ userId, turnId })));
  return calls.map(([call]) => (call === undefined ? undefined : findCommand(homePath, call.cmdId)));
}

/** Positions whose command began before the one ahead of it was over, or that have none. */
function overlapsOf(turns: readonly TurnRow[], commands: readonly (JournalledCommand | undefined)[]): number[] {
  return turns
    .filter((_, index) => {
      const command = commands[index];
      const ahead = commands[index - 1];
      if (command === undefined || command.endedAtMs === null) return true;
      return ahead !== undefined && command.startedAtMs < (ahead.endedAtMs ?? Infinity);
    })
    .map(({ position }) => position);
}

function summary(turns: readonly TurnRow[]): object {
  return {
    turns: turns.length,
    states: [...new Set(turns.map(({ state }) => state))],
    ends: [...new Set(turns.map(({ ends }) => ends))],
  };
}
