/** What the gateway is made of, and what its routes are given. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { InnkeeperClient } from '../client.js';
import type { MachineAccess } from '../machines/provider.js';
import type { Prices } from '../store/cost.js';
import type { Store } from '../store/pool.js';
import type { EventStreams, StreamBounds } from './event-streams.js';
import type { MachineLeases } from './machine-leases.js';
import type { GatewayMetrics } from './metrics.js';
import type { UserTokens } from './user-tokens.js';

/** Of persons' terminals. */
export interface TerminalBounds {
  /** That this process keeps. */
  readonly max: number;
  readonly openMs: number;
  readonly leaveMs: number;
  /** How long a connection that broke may come back. */
  readonly graceMs: number;
  /** Nobody has typed for so long: it is handed back. */
  readonly quietMs: number;
  readonly heartbeatMs: number;
  readonly stallMs: number;
  /** Each way. */
  readonly unsentBytesMax: number;
}

export interface GatewayParts {
  readonly client: InnkeeperClient;
  readonly store: Store;
  readonly prices: Prices;
  /** Of users who have no setting of their own. */
  readonly defaults: { readonly idleMs: number };
  /** The address of a lane in the Temporal UI; null: no UI is set. */
  readonly laneUrlOf: (workflowId: string) => string | null;
  /** Requests that are taken in a minute. */
  readonly rates: { readonly keyPerMinute: number; readonly userPerMinute: number };
  readonly streams: StreamBounds;
  /** How long clients of chat protocols are held: for a whole answer, and for the end that a cancel brings. */
  readonly holds: { readonly answerMs: number; readonly cancelMs: number };
  readonly terminals: TerminalBounds;
  /** From the end of the gateway's work until connections are closed that are still open. */
  readonly closeMs: number;
  /** Of pages of other sites that may ask. */
  readonly origins: readonly string[];
  /** undefined: the deployment takes no tokens of users. */
  readonly tokens: UserTokens | undefined;
  /** The way to machines; absent: what needs one is refused as MACHINE_ACCESS_OFF. */
  readonly machines?: MachineAccess | undefined;
  /** Which of what the gateway needs answers now, by name. */
  readonly readiness: () => Promise<Readonly<Record<string, boolean>>>;
  /** undefined: nobody looks at them. */
  readonly metrics?: GatewayMetrics | undefined;
  /** Folder of the built page; absent: none is served. */
  readonly pageFolder?: string;
  readonly log: FastifyBaseLogger;
}

/** The same, and what there is one of for all routes; `closing` aborts once the gateway ends, so that nobody is waited for. */
export interface RouteParts extends GatewayParts {
  readonly closing: AbortSignal;
  readonly eventStreams: EventStreams;
  /**
   * Settles who a request is about that no path names, and counts it for that user.
   * @param names what it says at its several places @throws InnkeeperError as `userNamed`; RATE_LIMITED
   */
  readonly nameUser: (request: FastifyRequest, names: readonly (string | null | undefined)[]) => Promise<string>;
  readonly leases: MachineLeases;
}

export type Gateway = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>;
