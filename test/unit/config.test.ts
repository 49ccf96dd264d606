/**
 * Settings: what is missing, wrong or contradictory is said all at once, in words that name the setting, and never shows a secret.
 * Method: loadConfig on environments written out here; `.env.example` is read as a file.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  inheritedEnvironment,
  loadClientConfig,
  loadConfig,
  loadGatewayConfig,
  SETTING_NAMES,
  settingsEnvironment,
  type Environment,
} from '../../src/config.js';
import { InnkeeperError } from '../../src/contracts/errors.js';

const SECRET = 'sk-do-not-show-9f31';
const complete = {
  DATABASE_URL: `postgres://app:${SECRET}@db:5432/innkeeper`,
  DEDALUS_MACHINES_BASE_URL: 'https://machines.example',
  DEDALUS_API_KEY: SECRET,
  MODEL_BASE_URL: 'https://model.example/v1',
  MODEL_API_KEY: SECRET,
  MODEL_NAME: 'a-model',
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'innkeeper-config-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function problemOf(env: Environment): InnkeeperError {
  try {
    loadConfig(env);
  } catch (error) {
    if (InnkeeperError.is(error)) return error;
    throw error;
  }
  throw new Error('the settings were taken');
}

describe('loadConfig', () => {
  it('fills in documented defaults and freezes every slice', () => {
    const config = loadConfig(complete);
    expect(config.temporal).toMatchObject({ address: '127.0.0.1:7233', namespace: 'default', taskQueue: 'innkeeper' });
    expect(config.temporal.tls).toBeUndefined();
    expect(config.machines).toMatchObject({
      size: { vcpu: 1, memoryMib: 2_048, storageGib: 10 },
      sendIfMatch: true,
      takesAutosleep: 'auto',
      terminalProtocol: 'auto',
      keepAwakeMs: 120_000,
    });
    expect(config.turn).toEqual({ openTurnsMax: 20, stepsMax: 50, wallMs: 1_800_000, idleMs: 300_000 });
    // Nothing that is not ours is ever destroyed by default.
    const reconcile = { intervalMs: 300_000, quietMs: 60_000, graceMs: 1_800_000, providerAccount: 'shared' };
    expect(config.reconcile).toEqual(reconcile);
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.machines.size)).toBe(true);
  });

  it('reports every problem at once, naming each setting', () => {
    const error = problemOf({ TURN_WALL_MS: 'soon', IDLE_MS: '1', MACHINE_VCPU: '0.3', LOG_LEVEL: 'loud' });
    expect(error.code).toBe('SETTINGS_INVALID');
    for (const name of [...Object.keys(complete), 'TURN_WALL_MS', 'IDLE_MS', 'MACHINE_VCPU', 'LOG_LEVEL']) {
      expect(error.message).toMatch(new RegExp(`^  - ${name} `, 'm'));
    }
    expect(error.message).toContain('DATABASE_URL is not set');
    expect(error.message).toContain('IDLE_MS must be a whole number from 100 to 604800000');
  });

  it('never prints a secret, even a malformed one', () => {
    const error = problemOf({ ...complete, DATABASE_URL: SECRET, WORKFLOW_ID_KEY: SECRET, IDLE_MS: 'x' });
    expect(error.message).toContain('DATABASE_URL must be a URL');
    expect(error.message).toContain('WORKFLOW_ID_KEY must have at least 32 characters');
    expect(error.message).not.toContain(SECRET);
    expect(JSON.stringify(error)).not.toContain(SECRET);
  });

  it('takes 0 for a reconciler that runs by hand only', () => {
    expect(loadConfig({ ...complete, RECONCILE_INTERVAL_MS: '0' }).reconcile.intervalMs).toBe(0);
    expect(loadConfig({ ...complete, PROVIDER_ACCOUNT: 'dedicated' }).reconcile.providerAccount).toBe('dedicated');
  });

  it('shows no figures and makes no traces unless told to, and then on loopback', () => {
    expect(loadConfig(complete)).toMatchObject({ metrics: undefined, tracing: undefined });
    expect(loadConfig(complete).worker.temporalMetricsAddress).toBeUndefined();
    const endpoint = 'http://collector:4318';
    const watched = {
      WORKER_METRICS_PORT: '9464',
      GATEWAY_METRICS_PORT: '9463',
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    };
    const tracing = { endpoint, headers: {} };
    expect(loadConfig({ ...complete, ...watched })).toMatchObject({
      tracing,
      metrics: { host: '127.0.0.1', port: 9464 },
    });
    const gateway = loadGatewayConfig({ DATABASE_URL: complete.DATABASE_URL, ...watched, METRICS_HOST: '0.0.0.0' });
    expect(gateway).toMatchObject({ tracing, metrics: { host: '0.0.0.0', port: 9463 } });
  });

  it('reads headers for traces, and shows none that is malformed', () => {
    const env = { ...complete, OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector' };
    const headersOf = (text: string): unknown =>
      loadConfig({ ...env, OTEL_EXPORTER_OTLP_HEADERS: text }).tracing?.headers;
    expect(headersOf('a=1, authorization = Bearer%20x=y')).toEqual({ a: '1', authorization: 'Bearer x=y' });
    for (const text of [SECRET, `a=1,${SECRET}`, `a=%zz${SECRET}`]) {
      const { message } = problemOf({ ...env, OTEL_EXPORTER_OTLP_HEADERS: text });
      expect(message).toContain('OTEL_EXPORTER_OTLP_HEADERS must be name=value');
      expect(message).not.toContain(SECRET);
    }
  });

  it('counts empty text as not set', () => {
    expect(loadConfig({ ...complete, IDLE_MS: '', TEMPORAL_API_KEY: '' }).turn.idleMs).toBe(300_000);
    expect(problemOf({ ...complete, MODEL_API_KEY: '' }).message).toContain('MODEL_API_KEY is not set');
  });

  it.each([
    [{ TEMPORAL_TLS: 'false', TEMPORAL_API_KEY: SECRET }, 'a key needs TLS'],
    [{ TEMPORAL_TLS: 'false', TEMPORAL_TLS_CA_FILE: '/ca.pem' }, 'TEMPORAL_TLS is false but'],
    [{ TEMPORAL_TLS_CERT_FILE: '/cert.pem' }, 'belong together'],
    [{ TURN_WALL_MS: '5000', MODEL_REQUEST_TIMEOUT_MS: '6000' }, 'above TURN_WALL_MS'],
    [{ MACHINE_KEEP_AWAKE_MS: '300000' }, 'MACHINE_KEEP_AWAKE_MS must be a whole number from 100 to 299999'],
    [{ MODEL_BASE_URL: undefined }, 'MODEL_BASE_URL is not set'],
    [{ RECONCILE_GRACE_MS: '300000' }, 'RECONCILE_GRACE_MS is not above MACHINE_CREATE_TIMEOUT_MS'],
    [{ MACHINE_CREATE_TIMEOUT_MS: '1800000' }, 'RECONCILE_GRACE_MS is not above MACHINE_CREATE_TIMEOUT_MS'],
    [
      { RECONCILE_INTERVAL_MS: '999' },
      'RECONCILE_INTERVAL_MS must be 0 (off), or a whole number from 1000 to 86400000',
    ],
    [{ WORKER_METRICS_PORT: '0' }, 'WORKER_METRICS_PORT must be a port from 1 to 65535'],
    [{ TEMPORAL_METRICS_ADDRESS: '9465' }, 'TEMPORAL_METRICS_ADDRESS must be host:port'],
    [{ PROVIDER_ACCOUNT: 'mine' }, 'PROVIDER_ACCOUNT must be one of shared, dedicated'],
  ])('refuses the contradiction %o', (change, words) => {
    expect(problemOf({ ...complete, ...change }).message).toContain(words);
  });

  it('reports a contradiction beside a malformed setting', () => {
    const { message } = problemOf({ ...complete, IDLE_MS: 'x', TEMPORAL_TLS_KEY_FILE: '/key.pem' });
    expect(message).toContain('2 problem(s)');
  });

  it('reads a secret from a file and refuses both ways at once', () => {
    const file = join(folder, 'key');
    writeFileSync(file, `${SECRET}\n`);
    const { DEDALUS_API_KEY: _, ...rest } = complete;
    expect(loadConfig({ ...rest, DEDALUS_API_KEY_FILE: file }).machines.apiKey).toBe(SECRET);
    expect(problemOf({ ...complete, DEDALUS_API_KEY_FILE: file }).message).toContain('are both set');
    const missing = problemOf({ ...rest, DEDALUS_API_KEY_FILE: join(folder, 'none') });
    expect(missing.message).toContain('DEDALUS_API_KEY_FILE names a file that cannot be read');
    expect(missing.message).not.toContain('DEDALUS_API_KEY is not set');
  });

  it('turns TLS on by a key or a certificate authority', () => {
    expect(loadConfig({ ...complete, TEMPORAL_API_KEY: SECRET }).temporal.tls).toBeDefined();
    expect(loadConfig({ ...complete, TEMPORAL_TLS_CA_FILE: '/ca.pem' }).temporal.tls?.caFile).toBe('/ca.pem');
  });
});

describe('loadClientConfig', () => {
  it("needs no key of the provider's or the model's", () => {
    const config = loadClientConfig({ DATABASE_URL: complete.DATABASE_URL, PRICE_VCPU_HOUR: '0.05' });
    expect(config.prices).toEqual({ vcpuHour: 0.05, gibMonth: undefined });
    expect(config).not.toHaveProperty('machines');
  });
});

describe('loadGatewayConfig', () => {
  it('has a way to machines where it is given both its address and its key, and asks for both', () => {
    const { DATABASE_URL, DEDALUS_MACHINES_BASE_URL, DEDALUS_API_KEY } = complete;
    expect(loadGatewayConfig({ DATABASE_URL }).machines).toBeUndefined();
    const { machines } = loadGatewayConfig({ DATABASE_URL, DEDALUS_MACHINES_BASE_URL, DEDALUS_API_KEY });
    expect(machines).toMatchObject({ baseUrl: DEDALUS_MACHINES_BASE_URL, apiKey: SECRET, requestTimeoutMs: 4_000 });
    for (const half of [{ DEDALUS_MACHINES_BASE_URL }, { DEDALUS_API_KEY }]) {
      expect(() => loadGatewayConfig({ DATABASE_URL, ...half })).toThrow(/belong together/);
    }
  });
});

describe('environments of child processes', () => {
  it('pass on settings and the system part, and nothing else', () => {
    const env = {
      ...complete,
      PATH: '/bin',
      AWS_SECRET_ACCESS_KEY: 'x',
      MODEL_API_KEY_FILE: '/run/secrets/m',
      IDLE_MS: '',
    };
    expect(settingsEnvironment(env)).toEqual({ ...complete, MODEL_API_KEY_FILE: '/run/secrets/m' });
    expect(inheritedEnvironment(env)).toEqual({ PATH: '/bin' });
  });
});

describe('.env.example', () => {
  it('names every setting and no other', () => {
    const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
    const named = [...example.matchAll(/^#? ?([A-Z][A-Z0-9_]+)=/gm)].map((match) => match[1]);
    expect(named.toSorted()).toEqual([...SETTING_NAMES].toSorted());
  });
});
