/**
 * How a table of settings is read from an environment: secrets from files, all problems at once, nothing secret in a message.
 * Which settings there are is config.ts, its one user.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { InnkeeperError } from './contracts/errors.js';
import * as limits from './contracts/limits.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings that may come from a file: `NAME_FILE` beside `NAME`. */
export const SECRETS = [
  'DATABASE_URL',
  'DEDALUS_API_KEY',
  'MODEL_API_KEY',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'TEMPORAL_API_KEY',
  'WORKFLOW_ID_KEY',
] as const;

/** The part of an environment whose names are wanted; empty text counts as not set. */
export function pick(env: Environment, isWanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value !== undefined && value !== '' && isWanted(name) ? [[name, value]] : [],
    ),
  );
}

type Shape = Record<string, z.ZodType>;

/** Reads one table of settings. Empty text counts as not set, so that a compose file may pass on what it does not know. */
export function parse<S extends Shape>(shape: S, env: Environment): z.infer<z.ZodObject<S>> {
  const { values, problems } = readSecretFiles(shape, env);
  const result = z.object(shape).safeParse(values);
  if (!result.success) {
    problems.push(...result.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`));
  }
  problems.push(...contradictions(values));
  if (problems.length > 0 || !result.success) {
    const list = problems.map((problem) => `  - ${problem}`).join('\n');
    throw new InnkeeperError('SETTINGS_INVALID', `The settings have ${problems.length} problem(s):\n${list}`);
  }
  return result.data;
}

function readSecretFiles(shape: Shape, env: Environment): { values: Record<string, string>; problems: string[] } {
  const problems: string[] = [];
  const values = pick(env, () => true);
  for (const name of SECRETS.filter((secret) => secret in shape)) {
    const file = values[`${name}_FILE`];
    if (file === undefined) continue;
    if (values[name] !== undefined) problems.push(`${name} and ${name}_FILE are both set: keep one`);
    try {
      values[name] = readFileSync(file, 'utf8').trim();
    } catch {
      problems.push(`${name}_FILE names a file that cannot be read`);
      values[name] = 'unreadable'; // Keeps "is not set" out of the list: the line above is the problem.
    }
  }
  return { values, problems };
}

/** What no single setting shows. Looks at the text as given, so that it is reported beside whatever else is wrong. */
function contradictions(values: Readonly<Record<string, string>>): string[] {
  const { TEMPORAL_TLS, TEMPORAL_TLS_CA_FILE, TEMPORAL_TLS_CERT_FILE, TEMPORAL_TLS_KEY_FILE, TEMPORAL_API_KEY } =
    values;
  const tlsOff = TEMPORAL_TLS === 'false';
  const wallMs = Number(values['TURN_WALL_MS'] ?? limits.TURN_WALL_MS_DEFAULT);
  const requestMs = Number(values['MODEL_REQUEST_TIMEOUT_MS'] ?? 0);
  const createMs = Number(values['MACHINE_CREATE_TIMEOUT_MS'] ?? limits.MACHINE_CREATE_TIMEOUT_MS_DEFAULT);
  const graceMs = Number(values['RECONCILE_GRACE_MS'] ?? limits.RECONCILE_GRACE_MS_DEFAULT);
  const found: (readonly [boolean, string])[] = [
    [tlsOff && TEMPORAL_API_KEY !== undefined, 'TEMPORAL_TLS is false but TEMPORAL_API_KEY is set: a key needs TLS'],
    [
      tlsOff && (TEMPORAL_TLS_CA_FILE ?? TEMPORAL_TLS_CERT_FILE ?? TEMPORAL_TLS_KEY_FILE) !== undefined,
      'TEMPORAL_TLS is false but a TEMPORAL_TLS_…_FILE is set',
    ],
    [
      (TEMPORAL_TLS_CERT_FILE === undefined) !== (TEMPORAL_TLS_KEY_FILE === undefined),
      'TEMPORAL_TLS_CERT_FILE and TEMPORAL_TLS_KEY_FILE belong together: set both or neither',
    ],
    [requestMs > wallMs, 'MODEL_REQUEST_TIMEOUT_MS is above TURN_WALL_MS: a request would outlive its turn'],
    [
      graceMs <= createMs,
      "RECONCILE_GRACE_MS is not above MACHINE_CREATE_TIMEOUT_MS: a machine on its way would be taken for nobody's",
    ],
  ];
  return found.flatMap(([isWrong, problem]) => (isWrong ? [problem] : []));
}

/** Freezes a value and all within it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
