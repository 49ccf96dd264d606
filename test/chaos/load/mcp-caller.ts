/** Another agent at a user's machine: a call of the official MCP client, made again at another replica until its result is heard. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';
import { canaryOf, commandLineOf } from '../plan/expectation.js';
import type { PlannedTurn } from '../plan/plan.js';
import { createRandom } from '../plan/random.js';
import type { RunContext } from '../run-context.js';

/** Both generations of the protocol: by sessions, and without. */
const ERAS = ['legacy', 'auto'] as const;
/** A call is broken off with this chance, after so many notices at most, and no more often than so. */
const BREAK_CHANCE = 0.4;
const BREAK_AFTER_MAX = 4;
const BREAKS_MAX = 2;
const PAUSE_MS = 200;
/** The client does not notice that a gateway died; it is told every 15 s that its call lives. */
const QUIET_MS_MAX = 20_000;
/** What a call may wait behind is struck again and again. */
const CALL_MS_MAX = 600_000;
/** Refusals that a repeat may mend; the others are the suite's complaint. */
const PASSING = /^(STORE_UNAVAILABLE|LANE_UNREACHABLE|RESULT_TIMEOUT|STREAMS_EXCEEDED):/;

/** What a call's result said. */
export interface HeardCall {
  readonly userId: string;
  readonly turnId: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly exitCode: number | null;
}

/** Makes the one call of the turn under its id, and notes what came of it. */
export async function callByMcp(context: RunContext, userId: string, turn: PlannedTurn): Promise<void> {
  const { rig, journal, plan } = context;
  const { turnId } = turn;
  const [planned] = turn.commands;
  if (planned === undefined) throw new Error('a call is one command');
  const command = commandLineOf(planned, canaryOf(plan, userId));
  const chance = createRandom(`${plan.seed}/mcp/${turnId}`);
  const endsAt = Date.now() + CALL_MS_MAX;
  for (let attempt = 0; Date.now() < endsAt; attempt += 1) {
    const url = rig.gateways.urls[attempt % rig.gateways.urls.length];
    const client = new Client({ name: 'chaos', version: '1' }, { versionNegotiation: { mode: chance.pick(ERAS) } });
    let left = attempt < BREAKS_MAX && chance.chance(BREAK_CHANCE) ? chance.whole(1, BREAK_AFTER_MAX) : Infinity;
    try {
      await client.connect(
        new StreamableHTTPClientTransport(new URL(`/v1/users/${userId}/mcp`, url), {
          requestInit: { headers: { authorization: `Bearer ${rig.gateways.key}` } },
        }),
      );
      let breakOff: (error: Error) => void = () => undefined;
      const broken = new Promise<never>((_resolve, reject) => (breakOff = reject));
      const calling = client.callTool(
        { name: 'bash', arguments: { command }, _meta: { 'innkeeper/turnId': turnId } },
        {
          ...{ timeout: QUIET_MS_MAX, resetTimeoutOnProgress: true },
          onprogress: () => {
            left -= 1;
            if (left <= 0) breakOff(new Error('broken off on purpose'));
          },
        },
      );
      const result = await Promise.race([calling, broken]);
      const heard = toHeard(userId, result);
      if (heard !== undefined) {
        journal.acknowledge({ userId, turnId });
        context.heardCalls.push(heard);
        return;
      }
      const said = textOf(result);
      if (!PASSING.test(said)) return journal.complain(`${turnId} was refused by MCP: ${said}`);
    } catch {
      // The connection broke, on purpose or because a gateway died.
    } finally {
      await client.close().catch(() => undefined);
    }
    await delay(PAUSE_MS);
  }
  journal.complain(`${turnId} had no result by MCP within ${CALL_MS_MAX / 1_000} s`);
}

function toHeard(userId: string, { structuredContent }: CallToolResult): HeardCall | undefined {
  return structuredContent === undefined ? undefined : { userId, ...(structuredContent as Omit<HeardCall, 'userId'>) };
}

function textOf({ content: [first] }: CallToolResult): string {
  return first?.type === 'text' ? first.text : '';
}
