/**
 * The logger: JSON lines on stderr, so that stdout stays free for what a command answers. In a terminal the same lines are shown
 * in a form for people. Secrets are cut out by the names they travel under; nobody should log one in the first place.
 */
import { pino, stdTimeFunctions, type DestinationStream, type Logger } from 'pino';

export type { Logger };
export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

const SECRET_NAMES = [
  ...['apiKey', 'api_key', 'authorization', 'Authorization', 'password', 'secret', 'token', 'streamUrl', 'stream_url'],
  ...['workflowIdKey', 'databaseUrl', 'connectionString', '["x-api-key"]', '["X-API-Key"]'],
];
/** A name at the top of a line, and up to two levels down. */
const REDACTED_PATHS = SECRET_NAMES.flatMap((name) => {
  const tail = name.startsWith('[') ? name : `.${name}`;
  return [name, `*${tail}`, `*.*${tail}`];
});

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Shown on each line: `worker`, `dev`, … */
  readonly part: string;
  /** Lines for people in place of JSON. Default: stderr is a terminal. */
  readonly pretty?: boolean;
  /** Where lines go; default stderr, written at once so that no line is lost in a crash. */
  readonly destination?: DestinationStream;
}

/** Makes a process's logger; parts get children of it. */
export function createLogger(options: LoggerOptions): Logger {
  const target = options.destination ?? pino.destination({ dest: 2, sync: true });
  return pino(
    {
      level: options.level,
      base: { part: options.part },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    },
    (options.pretty ?? process.stderr.isTTY) ? { write: (line) => target.write(toReadable(line)) } : target,
  );
}

/** Says nothing; for tests and for commands whose output is their answer. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

/** `12:03:07 worker  warn  machine is away  userId=ada`, and the stack of an error beneath. */
function toReadable(line: string): string {
  const { level, time, part, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const error = typeof err === 'object' && err !== null ? (err as Record<string, unknown>) : undefined;
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${show(value)}`);
  const head = [show(time).slice(11, 19), show(part).padEnd(8), show(level).padEnd(5), show(msg ?? ''), ...fields].join(
    ' ',
  );
  return `${head}\n${error === undefined ? '' : `${show(error['stack'] ?? error['message'])}\n`}`;
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
