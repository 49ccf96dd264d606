/**
 * The gateway's metrics: docs/operations.md says what each means. Labels are patterns of routes, codes and phases: nothing of what a
 * request says. What Postgres counts is asked for at each scrape, so that every replica tells the same of it.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { InnkeeperClient, SubmittedTurn } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { LANE_PHASES, type LanePhase } from '../contracts/lane-state.js';
import { countOpen, type Counts } from '../store/counts.js';
import { LEASE_KINDS } from '../store/leases.js';
import type { Queryable } from '../store/sql.js';

/**
 * Why a stream ended: its turn was over; the reader left, or took nothing for too long; the gateway ends; what it asked for lies
 * ahead of the record; Postgres is away.
 */
export type StreamEnd = 'done' | 'gone' | 'stalled' | 'closing' | 'resync' | 'failed';

export interface GatewayMetrics {
  readonly registry: Registry;
  requestEnded(request: FastifyRequest, reply: FastifyReply): void;
  /** A stream is open until what is answered is called. Its request is not timed. */
  streamOpened(request: FastifyRequest): (end: StreamEnd) => void;
  /** The same client, its submissions counted. */
  countSubmissions(client: InnkeeperClient): InnkeeperClient;
}

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Phases of a machine that there is. */
const PHASES = LANE_PHASES.filter((phase) => phase !== 'none' && phase !== 'destroyed');
/** Any other method is somebody's own word. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function createGatewayMetrics({ store }: { readonly store: Queryable }): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    ...{ name: 'innkeeper_http_requests_total', help: 'Requests that were answered', registers },
    labelNames: ['method', 'route', 'status'] as const,
  });
  const requestSeconds = new Histogram({
    ...{ name: 'innkeeper_http_request_seconds', help: 'One request, streams left out', registers },
    labelNames: ['method', 'route'] as const,
    buckets: REQUEST_SECONDS,
  });
  const streams = new Gauge({ name: 'innkeeper_event_streams', help: 'Event streams that are open', registers });
  const streamsEnded = new Counter({
    ...{ name: 'innkeeper_event_streams_ended_total', help: 'Event streams that ended', registers },
    labelNames: ['reason'] as const,
  });
  const submissions = new Counter({
    ...{ name: 'innkeeper_turns_submitted_total', help: 'Turns that were submitted', registers },
    labelNames: ['result'] as const,
  });
  addCounts(registers, store);
  /** Requests whose answer is a stream. */
  const streaming = new WeakSet<FastifyRequest>();

  return {
    registry,
    requestEnded(request, reply) {
      const method = METHODS.has(request.method) ? request.method : 'other';
      const route = request.routeOptions.url ?? 'unknown';
      requests.inc({ method, route, status: `${Math.floor(reply.statusCode / 100)}xx` });
      if (!streaming.has(request) && !request.ws) requestSeconds.observe({ method, route }, reply.elapsedTime / 1_000);
    },
    streamOpened(request) {
      streaming.add(request);
      streams.inc();
      return (reason) => {
        streams.dec();
        streamsEnded.inc({ reason });
      };
    },
    countSubmissions: (client) => ({
      ...client,
      submitTurn: (turn) => counted(client.submitTurn(turn)),
      runTool: (turn) => counted(client.runTool(turn)),
    }),
  };

  async function counted(submitting: Promise<SubmittedTurn>): Promise<SubmittedTurn> {
    try {
      const submitted = await submitting;
      submissions.inc({ result: submitted.isNew ? 'new' : 'repeated' });
      return submitted;
    } catch (error) {
      submissions.inc({ result: InnkeeperError.is(error) ? error.code : 'INTERNAL' });
      throw error;
    }
  }
}

/** What Postgres counts. Where it is away these lines are missing, and `innkeeper_store_up` says so. */
function addCounts(registers: Registry[], store: Queryable): void {
  const look = shared(() => countOpen(store).catch(() => undefined));
  const gauge = <L extends string>(
    about: { readonly name: string; readonly help: string; readonly labelNames: readonly L[] },
    set: (gauge: Gauge<L>, counts: Counts | undefined) => void,
  ): void => {
    const made: Gauge<L> = new Gauge({
      ...about,
      registers,
      async collect() {
        const counts = await look();
        made.reset();
        set(made, counts);
      },
    });
  };
  gauge({ name: 'innkeeper_store_up', help: '1: Postgres answered this scrape', labelNames: [] }, (up, counts) =>
    up.set(counts === undefined ? 0 : 1),
  );
  gauge(
    { name: 'innkeeper_machines', help: 'Machines by phase, of all users', labelNames: ['phase'] },
    (machines, counts) => {
      const set = (phase: LanePhase): void => machines.set({ phase }, counts?.machines.get(phase) ?? 0);
      if (counts !== undefined) PHASES.forEach(set);
    },
  );
  gauge(
    { name: 'innkeeper_open_turns', help: 'Open turns by state, of all users', labelNames: ['state'] },
    (turns, counts) => {
      if (counts === undefined) return;
      for (const state of ['queued', 'running'] as const) turns.set({ state }, counts.turns.get(state) ?? 0);
    },
  );
  gauge(
    { name: 'innkeeper_machine_leases', help: 'Live leases of machines by kind, of all users', labelNames: ['kind'] },
    (leases, counts) => {
      if (counts === undefined) return;
      for (const kind of LEASE_KINDS) leases.set({ kind }, counts.leases.get(kind) ?? 0);
    },
  );
}

/** Whoever asks while it works shares its answer. */
function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let working: Promise<T> | undefined;
  return () => (working ??= work().finally(() => (working = undefined)));
}
