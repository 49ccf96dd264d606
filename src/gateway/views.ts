/** What the gateway's routes take and answer, as schemas: the server checks by them, and the OpenAPI document is made of them. */
import { z } from 'zod';
import { LANE_PHASES } from '../contracts/lane-state.js';
import {
  ID_BYTES_MAX,
  IDLE_MS_MAX,
  IDLE_MS_MIN,
  PAGE_ITEMS_DEFAULT,
  PAGE_ITEMS_MAX,
  RESULT_HOLD_SECONDS_MAX,
} from '../contracts/limits.js';

const instant = z.string().describe('ISO 8601');
const orNull = <T extends z.ZodType>(schema: T) => schema.nullable();

const cost = orNull(z.number()).describe("In the currency of the deployment's prices; null: none are set");

export const userParams = z.object({
  user: z.string().describe(`The chat user's id: 1 to ${ID_BYTES_MAX} bytes of UTF-8`),
});
export const turnParams = userParams.extend({ turn: z.string().describe('The id of a turn of this user') });

export const submitBody = z
  .strictObject({
    prompt: z.string().describe('What the user says: up to 64 KiB of UTF-8'),
    turnId: z.string().optional().describe('Your id of the message; the header idempotency-key says the same'),
  })
  .meta({ id: 'Submission' });
export const submitQuery = z.object({
  wait: z.coerce
    .number()
    .int()
    .min(0)
    .max(RESULT_HOLD_SECONDS_MAX)
    .default(0)
    .describe('Seconds to hold for the result'),
});
export const submitHeaders = z.object({
  'idempotency-key': z.string().optional().describe('Your id of the message; the same again answers the same turn'),
});

export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(PAGE_ITEMS_MAX).default(PAGE_ITEMS_DEFAULT),
  cursor: z.string().optional().describe('`next` of the page before'),
});

const turnState = z.enum(['queued', 'running', 'completed', 'failed', 'cancelled']);

export const turnView = z
  .object({
    turnId: z.string(),
    position: z.int().describe("Place in the user's order, from 1"),
    state: turnState,
    prompt: z.string(),
    origin: orNull(z.enum(['backend', 'mcp'])).describe('Of a turn whose tool call was given with it; null: a message'),
    answer: orNull(z.string()),
    errorCode: orNull(z.string()),
    steps: z.int(),
    toolCalls: z.int(),
    inputTokens: z.int(),
    outputTokens: z.int(),
    isCancelRequested: z.boolean(),
    createdAt: instant,
    startedAt: orNull(instant),
    deadlineAt: orNull(instant),
    endedAt: orNull(instant),
  })
  .meta({ id: 'Turn' });

export const submittedView = z
  .object({
    turnId: z.string(),
    position: z.int(),
    state: turnState,
    isNew: z.boolean().describe('False: this id was submitted before, with the same prompt'),
    links: z.object({ turn: z.string(), events: z.string(), cancel: z.string() }),
    turn: turnView.optional().describe('The turn, where it was over within `wait`'),
  })
  .meta({ id: 'SubmittedTurn' });

export const cancelledView = z.object({ state: turnState.describe('As it was found') }).meta({ id: 'Cancelled' });

export const turnsPage = z.object({ items: z.array(turnView), next: orNull(z.string()) }).meta({ id: 'Turns' });

export const machineView = z
  .object({
    phase: z.enum(LANE_PHASES),
    generation: z.int().describe('0: never had one'),
    machineId: orNull(z.string()),
    missing: z.array(z.string()).describe('Tools that could not be installed'),
    sleptAt: orNull(instant),
    wokenAt: orNull(instant),
    leasedUntil: orNull(instant).describe('A person or a transfer keeps it awake until then, or longer; null: nobody'),
    terminal: orNull(
      z.object({
        holder: z.string(),
        takenAt: instant,
        until: instant.describe('Renewed for as long as they are there'),
      }),
    ).describe('The person at its terminal; commands of the agent wait meanwhile'),
  })
  .meta({ id: 'Machine' });

export const userView = z
  .object({
    userId: z.string(),
    state: z.enum(['active', 'destroying', 'destroyed']),
    machine: machineView,
    queueLength: z.int().describe('Open turns, the running one included'),
    runningTurnId: orNull(z.string()),
    idleMs: orNull(z.int()),
    turnCount: z.int(),
    lastTurnAt: orNull(instant),
    lastErrorCode: orNull(z.string()),
    createdAt: instant,
    destroyedAt: orNull(instant),
  })
  .meta({ id: 'User' });

export const userDetails = userView
  .extend({
    machine: machineView.extend({
      awakeFor: orNull(z.enum(['turn', 'lease', 'idle_time'])).describe(
        'Why it is awake, or on its way there; null: it is not',
      ),
      sleepsAt: orNull(instant).describe(
        'About when it is put to sleep where nothing happens; null: not yet, or asleep',
      ),
    }),
    awakeSeconds: z.number().describe('Of all its machines so far'),
    cost,
    laneUrl: orNull(z.string()).describe(
      'The lane in the Temporal UI; for keys of the scope operator, where a UI is set',
    ),
  })
  .meta({ id: 'UserDetails' });

export const usersPage = z.object({ items: z.array(userView), next: orNull(z.string()) }).meta({ id: 'Users' });
export const userBody = z
  .strictObject({ idleMs: z.int().min(IDLE_MS_MIN).max(IDLE_MS_MAX).optional().describe('Quiet time until sleep') })
  .meta({ id: 'UserSettings' });
export const createdView = z.object({ created: z.boolean() }).meta({ id: 'Created' });
export const usageView = z
  .object({
    at: instant,
    awakeSeconds: z.number(),
    vcpuHours: z.number(),
    gibMonths: z.number(),
    cost,
  })
  .meta({ id: 'Usage' });
export const acceptedView = z.object({ accepted: z.literal(true) }).meta({ id: 'Accepted' });

const callView = z
  .object({
    index: z.int(),
    cmdId: z.string().describe('Names its output, and the command on the machine'),
    tool: z.string(),
    title: z.string().describe('The command, or the path of a file tool'),
    outcome: orNull(z.string()).describe('null: it has not ended'),
    exitCode: orNull(z.int()),
    output: z.string().describe('Without control sequences; head and tail'),
    outputBytes: orNull(z.int()).describe('Of all that it wrote'),
    startedAt: orNull(instant),
    endedAt: orNull(instant),
  })
  .meta({ id: 'Call' });

export const transcriptPage = z
  .object({
    items: z.array(
      z
        .object({
          seq: z.int().describe("Place in the user's transcript, from 1"),
          turnId: orNull(z.string()),
          turnState: orNull(turnState),
          errorCode: orNull(z.string()).describe('Why the turn failed'),
          step: orNull(z.int()),
          kind: z.enum(['user', 'assistant', 'note']),
          text: z.string(),
          at: instant,
          calls: z.array(callView).describe('Of an answer, in their order'),
        })
        .meta({ id: 'TranscriptEntry' }),
    ),
    next: orNull(z.string()),
    events: z.string().describe('Follow the events `after` this: what happened since the page was read comes there'),
  })
  .meta({ id: 'Transcript' });

export const outputParams = userParams.extend({ command: z.string().describe('`cmdId` of a call of this user') });
export const outputHeaders = z.object({ range: z.string().optional().describe('One range of bytes') });

export const eventsQuery = z.object({
  turn: z.string().optional().describe('Only this turn; the stream ends when it is over'),
  after: z.string().optional().describe('As last-event-id, which comes first; `end`: only what is new'),
});
export const eventsHeaders = z.object({ 'last-event-id': z.string().optional() });
