/** A backend that hands a message over, shows what becomes of it as it happens, and knows what to do where it is refused. */
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, InnkeeperError, type SubmittedTurn } from 'innkeeper/client';
import { createPrinter } from './printer.js';

const REPEAT_MS = 1_000;

const [userId, turnId, prompt] = process.argv.slice(2);
const {
  TEMPORAL_ADDRESS: address = '127.0.0.1:7233',
  TEMPORAL_NAMESPACE: namespace = 'default',
  TEMPORAL_TASK_QUEUE: taskQueue = 'innkeeper',
  DATABASE_URL: url,
  OPEN_TURNS_MAX: openTurnsMax = '20',
} = process.env;
if (userId === undefined || turnId === undefined || prompt === undefined || url === undefined) {
  console.error('Usage: DATABASE_URL=… npx tsx main.ts USER MESSAGE-ID TEXT');
  process.exit(2);
}

const innkeeper = createClient({
  temporal: { address, namespace, taskQueue },
  database: { url },
  openTurnsMax: Number(openTurnsMax),
});

/** Whatever goes wrong on the way, the same id is the same turn: it may be repeated as often as it takes. */
async function submit(turn: { userId: string; turnId: string; prompt: string }): Promise<SubmittedTurn> {
  for (;;) {
    try {
      return await innkeeper.submitTurn(turn);
    } catch (error) {
      // QUEUE_FULL: nothing is stored until a turn of this user ends. Transient: a part is away, and the turn may be stored or not.
      if (!InnkeeperError.is(error) || (error.code !== 'QUEUE_FULL' && error.kind !== 'transient')) throw error;
      console.error(`${error.code}: ${error.advice}`);
      await delay(REPEAT_MS);
    }
  }
}

try {
  const { isNew, position } = await submit({ userId, turnId, prompt });
  console.log(isNew ? `Turn ${position} of ${userId}.` : `${turnId} was submitted before: it is turn ${position}.`);
  const printer = createPrinter((text) => process.stdout.write(text));
  // From its beginning, and then as it happens. Keep `item.position` of the last item to go on after a restart.
  for await (const item of innkeeper.followEvents({ userId, turnId, after: { beginningOf: turnId } })) {
    printer.show(item);
    if ('event' in item && item.event.body.type === 'turn.ended') break;
  }
  const { state, errorCode } = await innkeeper.getTurn({ userId, turnId });
  console.log(errorCode === null ? `[${state}]` : `[${state}: ${errorCode}]`);
} catch (error) {
  // Every refusal has a stable code and says what to do: TURN_ID_REUSED, PROMPT_EMPTY, USER_DESTROYED and so on.
  if (!InnkeeperError.is(error)) throw error;
  console.error(`${error.code}: ${error.message} ${error.advice}`);
  process.exitCode = 1;
} finally {
  await innkeeper.close();
}
