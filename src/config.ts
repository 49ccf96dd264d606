/**
 * The settings of a deployment: the only reader of the environment. One table of settings, read at once, all problems reported
 * together, frozen; each process passes on the slices that a part needs. `.env.example` documents every setting.
 *
 * A secret has no default and is never printed. Each may come from a file instead: `NAME_FILE` beside `NAME`.
 */
import type { z } from 'zod';
import {
  choice,
  flag,
  hostPort,
  interval,
  jsonObject,
  origins,
  port,
  price,
  text,
  url,
  whole,
} from './config-fields.js';
import { deepFreeze, parse, pick, SECRETS, type Environment } from './config-reading.js';
import { metricsSlice, telemetrySettings, tracingSlice } from './config-telemetry.js';
import { InnkeeperError } from './contracts/errors.js';
import { TASK_QUEUE_DEFAULT } from './contracts/ids.js';
import * as limits from './contracts/limits.js';

export type { Environment } from './config-reading.js';

/** On g2 the provider puts a machine to sleep after this long without a request; the no-op has to come sooner. */
const PROVIDER_AUTOSLEEP_MS = 300_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WORKFLOW_ID_KEY_LENGTH_MIN = 32;

const temporalSettings = {
  TEMPORAL_ADDRESS: hostPort().default('127.0.0.1:7233'),
  TEMPORAL_NAMESPACE: text().default('default'),
  TEMPORAL_TASK_QUEUE: text().default(TASK_QUEUE_DEFAULT),
  TEMPORAL_API_KEY: text().optional(),
  TEMPORAL_TLS: flag().optional(),
  TEMPORAL_TLS_CA_FILE: text().optional(),
  TEMPORAL_TLS_CERT_FILE: text().optional(),
  TEMPORAL_TLS_KEY_FILE: text().optional(),
};

const clientSettings = {
  ...temporalSettings,
  DATABASE_URL: url('postgres:', 'postgresql:'),
  DATABASE_POOL_MAX: whole(20, 1, 1_000),
  WORKFLOW_ID_KEY: text()
    .min(WORKFLOW_ID_KEY_LENGTH_MIN, { error: `must have at least ${WORKFLOW_ID_KEY_LENGTH_MIN} characters` })
    .optional(),
  OPEN_TURNS_MAX: whole(limits.OPEN_TURNS_MAX_DEFAULT, 1, 1_000),
  IDLE_MS: whole(limits.IDLE_MS_DEFAULT, limits.IDLE_MS_MIN, limits.IDLE_MS_MAX),
  PRICE_VCPU_HOUR: price(),
  PRICE_GIB_MONTH: price(),
  LOG_LEVEL: choice(['silent', 'error', 'warn', 'info', 'debug']).default('info'),
};

/** How a process speaks to the provider; where, and with which key, is its own. */
const providerSettings = {
  DEDALUS_ORGANIZATION_ID: text().optional(),
  DEDALUS_SEND_IF_MATCH: flag().default(true),
  DEDALUS_TAKES_AUTOSLEEP: choice(['auto', 'true', 'false'])
    .transform((value) => (value === 'auto' ? value : value === 'true'))
    .default('auto'),
  DEDALUS_TERMINAL_PROTOCOL: choice(['auto', 'D', 'J']).default('auto'),
  MACHINE_REQUEST_TIMEOUT_MS: whole(4_000, 100, 60_000),
};

const workerSettings = {
  ...clientSettings,
  ...telemetrySettings,
  ...providerSettings,
  DEDALUS_MACHINES_BASE_URL: url('http:', 'https:'),
  DEDALUS_API_KEY: text(),
  MACHINE_VCPU: text()
    .refine((value) => /^\d+(\.\d+)?$/.test(value) && Number(value) > 0 && (Number(value) * 4) % 1 === 0, {
      error: 'must be a number above 0 in steps of 0.25',
    })
    .transform(Number)
    .default(limits.MACHINE_VCPU_DEFAULT),
  MACHINE_MEMORY_MIB: whole(limits.MACHINE_MEMORY_MIB_DEFAULT, 256, 1_048_576),
  MACHINE_STORAGE_GIB: whole(limits.MACHINE_STORAGE_GIB_DEFAULT, 1, 16_384),
  MACHINE_KEEP_AWAKE_MS: whole(120_000, 100, PROVIDER_AUTOSLEEP_MS - 1),
  MACHINE_WAKE_TIMEOUT_MS: whole(120_000, 1_000, HOUR_MS),
  MACHINE_CREATE_TIMEOUT_MS: whole(limits.MACHINE_CREATE_TIMEOUT_MS_DEFAULT, 1_000, HOUR_MS),
  MACHINE_POLL_MS: whole(250, 10, 60_000),
  MODEL_BASE_URL: url('http:', 'https:'),
  MODEL_API_KEY: text(),
  MODEL_NAME: text(),
  MODEL_SYSTEM_PROMPT_FILE: text().optional(),
  MODEL_CONTEXT_BYTES_MAX: whole(limits.MODEL_CONTEXT_BYTES_MAX_DEFAULT, 16 * 1024, 16 * 1024 * 1024),
  MODEL_REQUEST_TIMEOUT_MS: whole(300_000, 1_000, HOUR_MS),
  MODEL_FIRST_DELTA_TIMEOUT_MS: whole(120_000, 100, HOUR_MS),
  MODEL_EXTRA_BODY: jsonObject().optional(),
  TURN_STEPS_MAX: whole(limits.TURN_STEPS_MAX_DEFAULT, 1, 10_000),
  TURN_WALL_MS: whole(limits.TURN_WALL_MS_DEFAULT, 1_000, DAY_MS),
  PROVIDER_ACCOUNT: choice(['shared', 'dedicated']).default('shared'),
  RECONCILE_INTERVAL_MS: interval(limits.RECONCILE_INTERVAL_MS_DEFAULT, limits.RECONCILE_INTERVAL_MS_MIN, DAY_MS),
  RECONCILE_QUIET_MS: whole(limits.RECONCILE_QUIET_MS_DEFAULT, 100, HOUR_MS),
  RECONCILE_GRACE_MS: whole(limits.RECONCILE_GRACE_MS_DEFAULT, 1_000, 7 * DAY_MS),
  WORKER_MAX_CACHED_WORKFLOWS: whole(1_000, 1, 100_000),
  WORKER_SHUTDOWN_GRACE_MS: whole(10_000, 0, HOUR_MS),
  WORKER_METRICS_PORT: port(),
  TEMPORAL_METRICS_ADDRESS: hostPort().optional(),
  WORKER_FAULT_POINT: text().optional(),
};

const gatewaySettings = {
  ...clientSettings,
  ...telemetrySettings,
  ...providerSettings,
  DEDALUS_MACHINES_BASE_URL: url('http:', 'https:').optional(),
  DEDALUS_API_KEY: text().optional(),
  GATEWAY_HOST: text().default('127.0.0.1'),
  GATEWAY_PORT: whole(7_480, 0, 65_535),
  GATEWAY_ORIGINS: origins(),
  GATEWAY_KEY_REQUESTS_PER_MINUTE: whole(limits.KEY_REQUESTS_PER_MINUTE_MAX_DEFAULT, 1, 1_000_000),
  GATEWAY_USER_REQUESTS_PER_MINUTE: whole(limits.USER_REQUESTS_PER_MINUTE_MAX_DEFAULT, 1, 1_000_000),
  TEMPORAL_UI_URL: url('http:', 'https:').optional(),
  GATEWAY_METRICS_PORT: port(),
  USER_TOKENS_JWKS_URL: url('http:', 'https:').optional(),
  USER_TOKENS_ISSUER: text().optional(),
  USER_TOKENS_AUDIENCE: text().optional(),
};

/** The environment of this process; nothing else reads it. */
export function currentEnvironment(): Environment {
  return process.env;
}

/** What a child process needs of the environment besides its settings. */
const INHERITED =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|TERM|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY)$/i;

/** The part of the environment that is passed on to a child that gets its settings from us. */
export function inheritedEnvironment(env: Environment): Record<string, string> {
  return pick(env, (name) => INHERITED.test(name));
}

/** The settings among the environment, secrets included, as text; for a child process that reads them again. */
export function settingsEnvironment(env: Environment): Record<string, string> {
  const names = new Set<string>([...SETTING_NAMES, ...SECRETS.map((name) => `${name}_FILE`)]);
  return pick(env, (name) => names.has(name));
}

/** Names of all settings, for the test that `.env.example` documents each. */
export const SETTING_NAMES: readonly string[] = Object.keys({ ...workerSettings, ...gatewaySettings });

export type Config = ReturnType<typeof loadConfig>;
export type ClientConfig = ReturnType<typeof loadClientConfig>;
export type GatewayConfig = ReturnType<typeof loadGatewayConfig>;
export type TemporalConfig = Config['temporal'];

/** Settings of a worker: all of them. @throws InnkeeperError SETTINGS_INVALID with every problem, no secret in it */
export function loadConfig(env: Environment) {
  const s = parse(workerSettings, env);
  return deepFreeze({
    ...clientSlices(s),
    machines: {
      ...providerSlice(s, { baseUrl: s.DEDALUS_MACHINES_BASE_URL, apiKey: s.DEDALUS_API_KEY }),
      size: { vcpu: s.MACHINE_VCPU, memoryMib: s.MACHINE_MEMORY_MIB, storageGib: s.MACHINE_STORAGE_GIB },
      keepAwakeMs: s.MACHINE_KEEP_AWAKE_MS,
      wakeTimeoutMs: s.MACHINE_WAKE_TIMEOUT_MS,
      createTimeoutMs: s.MACHINE_CREATE_TIMEOUT_MS,
      pollMs: s.MACHINE_POLL_MS,
    },
    model: {
      baseUrl: s.MODEL_BASE_URL,
      apiKey: s.MODEL_API_KEY,
      name: s.MODEL_NAME,
      systemPromptFile: s.MODEL_SYSTEM_PROMPT_FILE,
      contextBytesMax: s.MODEL_CONTEXT_BYTES_MAX,
      requestTimeoutMs: s.MODEL_REQUEST_TIMEOUT_MS,
      firstDeltaTimeoutMs: Math.min(s.MODEL_FIRST_DELTA_TIMEOUT_MS, s.MODEL_REQUEST_TIMEOUT_MS),
      extraBody: s.MODEL_EXTRA_BODY,
    },
    turn: {
      openTurnsMax: s.OPEN_TURNS_MAX,
      stepsMax: s.TURN_STEPS_MAX,
      wallMs: s.TURN_WALL_MS,
      idleMs: s.IDLE_MS,
    },
    reconcile: {
      /** 0: no schedule. */
      intervalMs: s.RECONCILE_INTERVAL_MS,
      quietMs: s.RECONCILE_QUIET_MS,
      graceMs: s.RECONCILE_GRACE_MS,
      /** `dedicated`: every machine of the account is ours, so one that nobody knows is destroyed. */
      providerAccount: s.PROVIDER_ACCOUNT,
    },
    metrics: metricsSlice(s, s.WORKER_METRICS_PORT),
    tracing: tracingSlice(s),
    worker: {
      /** Where Temporal's SDK shows its own figures; undefined: nowhere. */
      temporalMetricsAddress: s.TEMPORAL_METRICS_ADDRESS,
      maxCachedWorkflows: s.WORKER_MAX_CACHED_WORKFLOWS,
      shutdownGraceMs: s.WORKER_SHUTDOWN_GRACE_MS,
      /** Where the worker kills itself, for tests of recovery; see worker/fault-points.ts. */
      faultPoint: s.WORKER_FAULT_POINT,
    },
  });
}

/** Settings of a backend, and of the commands that read and write a deployment: no provider's or model's key. @throws as loadConfig */
export function loadClientConfig(env: Environment) {
  const s = parse(clientSettings, env);
  return deepFreeze({ ...clientSlices(s), turn: { openTurnsMax: s.OPEN_TURNS_MAX, idleMs: s.IDLE_MS } });
}

/** Settings of the gateway. @throws as loadConfig */
export function loadGatewayConfig(env: Environment) {
  const s = parse(gatewaySettings, env);
  const { USER_TOKENS_JWKS_URL: jwksUrl, USER_TOKENS_ISSUER: issuer, USER_TOKENS_AUDIENCE: audience } = s;
  const given = [jwksUrl, issuer, audience].filter((setting) => setting !== undefined);
  if (given.length > 0 && given.length < 3) {
    throw new InnkeeperError(
      'SETTINGS_INVALID',
      'USER_TOKENS_JWKS_URL, USER_TOKENS_ISSUER and USER_TOKENS_AUDIENCE belong together: set all, or none.',
    );
  }
  const { DEDALUS_MACHINES_BASE_URL: baseUrl, DEDALUS_API_KEY: apiKey } = s;
  if ((baseUrl === undefined) !== (apiKey === undefined)) {
    throw new InnkeeperError(
      'SETTINGS_INVALID',
      'DEDALUS_MACHINES_BASE_URL and DEDALUS_API_KEY belong together: a gateway needs both for terminals and files, or none.',
    );
  }
  return deepFreeze({
    ...clientSlices(s),
    /** undefined: terminals and files are off. */
    machines: baseUrl === undefined || apiKey === undefined ? undefined : providerSlice(s, { baseUrl, apiKey }),
    turn: { openTurnsMax: s.OPEN_TURNS_MAX, idleMs: s.IDLE_MS },
    metrics: metricsSlice(s, s.GATEWAY_METRICS_PORT),
    tracing: tracingSlice(s),
    gateway: {
      host: s.GATEWAY_HOST,
      port: s.GATEWAY_PORT,
      /** Of pages of other sites that may ask. */
      origins: s.GATEWAY_ORIGINS ?? [],
      rates: { keyPerMinute: s.GATEWAY_KEY_REQUESTS_PER_MINUTE, userPerMinute: s.GATEWAY_USER_REQUESTS_PER_MINUTE },
      temporalUiUrl: s.TEMPORAL_UI_URL,
      /** undefined: no tokens of users are taken. */
      userTokens:
        jwksUrl === undefined || issuer === undefined || audience === undefined
          ? undefined
          : { jwksUrl, issuer, audience },
    },
  });
}

function providerSlice(
  s: z.infer<z.ZodObject<typeof providerSettings>>,
  where: { readonly baseUrl: string; readonly apiKey: string },
) {
  return {
    /** `baseUrl` without the version path: `/v1/…` is added by the adapter. */
    ...where,
    organizationId: s.DEDALUS_ORGANIZATION_ID,
    sendIfMatch: s.DEDALUS_SEND_IF_MATCH,
    takesAutosleep: s.DEDALUS_TAKES_AUTOSLEEP,
    terminalProtocol: s.DEDALUS_TERMINAL_PROTOCOL,
    /** Below the heartbeat timeout of a step: where the API has no revision, nothing else bounds a late request. */
    requestTimeoutMs: s.MACHINE_REQUEST_TIMEOUT_MS,
  };
}

type ClientSettings = z.infer<z.ZodObject<typeof clientSettings>>;

function clientSlices(s: ClientSettings) {
  return {
    temporal: {
      address: s.TEMPORAL_ADDRESS,
      namespace: s.TEMPORAL_NAMESPACE,
      taskQueue: s.TEMPORAL_TASK_QUEUE,
      apiKey: s.TEMPORAL_API_KEY,
      /** undefined: no TLS. Files hold PEM. */
      tls:
        (s.TEMPORAL_TLS ?? (s.TEMPORAL_API_KEY !== undefined || s.TEMPORAL_TLS_CA_FILE !== undefined))
          ? {
              caFile: s.TEMPORAL_TLS_CA_FILE,
              certFile: s.TEMPORAL_TLS_CERT_FILE,
              keyFile: s.TEMPORAL_TLS_KEY_FILE,
            }
          : undefined,
    },
    database: { url: s.DATABASE_URL, poolMax: s.DATABASE_POOL_MAX },
    /** Set: workflow ids carry a keyed hash in place of the user id. */
    workflowIdKey: s.WORKFLOW_ID_KEY,
    /** Per vCPU-hour awake and per GiB-month of storage, in any one currency. */
    prices: { vcpuHour: s.PRICE_VCPU_HOUR, gibMonth: s.PRICE_GIB_MONTH },
    logLevel: s.LOG_LEVEL,
  };
}
