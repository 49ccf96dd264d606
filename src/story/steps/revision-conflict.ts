/** Step 7: somebody else is faster, on sleep and on wake: 409, read again, won. */
import { callsOf, isAccepted } from '../record/provider-record.js';
import type { Journal, Step } from '../step.js';
import { machineOf, type Story } from '../story-context.js';
import { waitUntil } from '../wait-until.js';

export const revisionConflict: Step<Story> = {
  number: 7,
  title: 'A revision conflict on sleep and on wake',
  async run(story, journal) {
    const { client, provider, database } = story;
    const userId = story.users.ada;
    const { machineId } = await machineOf(story, userId);

    // Awake from here on, so that it is this sleep that meets the conflict.
    await story.say({ userId, turnId: 'before-conflict', prompt: '$ true' });
    await provider.injectConflict('machines.sleep', machineId);
    let mark = await provider.mark();
    await client.sleepNow({ userId });
    await waitUntil('the machine sleeps', async () => (await database.machine(userId))?.phase === 'asleep');
    await checkWon(story, journal, { route: 'machines.sleep', name: 'sleep', machineId, mark });

    await provider.injectConflict('machines.wake', machineId);
    mark = await provider.mark();
    journal.show('ada: $ echo awake');
    const turn = await story.say({ userId, turnId: 'conflict', prompt: '$ echo awake' });
    journal.check('the message is answered all the same', 'postgres', turn.state === 'completed', {
      state: turn.state,
    });
    await checkWon(story, journal, { route: 'machines.wake', name: 'wake', machineId, mark });
  },
};

async function checkWon(
  story: Story,
  journal: Journal,
  of: { route: string; name: 'sleep' | 'wake'; machineId: string; mark: number },
): Promise<void> {
  const calls = callsOf(await story.provider.ledger(of.mark), of);
  const evidence = calls.map((call) => ({
    status: call['status'],
    errorCode: call['errorCode'],
    ifMatch: call['ifMatch'],
    idempotencyKey: call['idempotencyKey'],
  }));
  const [lost, won] = calls;
  const isWon = calls.length === 2 && lost?.['status'] === 409 && won !== undefined && isAccepted(won);
  journal.check(`${of.name}: 409 first, then accepted`, 'provider', isWon, evidence);
  const keys = calls.map((call) => call['idempotencyKey']);
  const areTwo = keys.every((key) => typeof key === 'string') && new Set(keys).size === keys.length;
  journal.check(`${of.name}: each request has a key of its own`, 'provider', areTwo, keys);
  const stored = await story.database.requestKeys(story.users.ada, of.name);
  const areStored = keys.length > 0 && keys.every((key) => stored.includes(String(key)));
  journal.check(`${of.name}: both keys were stored`, 'postgres', areStored, {
    sent: keys.length,
    stored: stored.length,
  });
}
