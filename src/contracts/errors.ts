/**
 * The error table: the code is the contract, messages are prose.
 * Three translations read it, one file each: the machine adapter (status -> code), activities/failure.ts (code -> failure)
 * and the gateway (code -> status).
 */

/** How a failure is treated, whoever meets it (see docs/operations.md). */
export type ErrorKind = 'rejected' | 'transient' | 'permanent' | 'ambiguous' | 'cancelled' | 'bug';

export interface ErrorEntry {
  readonly kind: ErrorKind;
  readonly httpStatus: number;
  /** What the reader of the code should do, one sentence. */
  readonly advice: string;
}

const table = {
  // Input of a backend or of a signal.
  INVALID_USER_ID: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Send a user id of 1 to 128 bytes of UTF-8 without "/", "%" or control characters.',
  },
  INVALID_TURN_ID: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Send a turn id of 1 to 128 bytes of UTF-8 without "/", "%" or control characters.',
  },
  INVALID_INPUT: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Correct the field that the message names and send it again.',
  },
  PROMPT_EMPTY: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Send a prompt with at least one character that is not white space.',
  },
  PROMPT_TOO_LARGE: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Shorten the prompt: 64 KiB by client, 16 KiB inside a signal.',
  },
  TURN_ID_REUSED: {
    kind: 'rejected',
    httpStatus: 409,
    advice: 'This turn id was used with another prompt or call: choose a new id for a new one.',
  },
  QUEUE_FULL: {
    kind: 'rejected',
    httpStatus: 429,
    advice: 'Wait for an open turn of this user to end, then send the message again.',
  },
  USER_UNKNOWN: { kind: 'rejected', httpStatus: 404, advice: 'Create the user, or submit a first turn.' },
  USER_DESTROYED: {
    kind: 'rejected',
    httpStatus: 410,
    advice: 'The user was destroyed: create the user again to start anew.',
  },
  TURN_UNKNOWN: { kind: 'rejected', httpStatus: 404, advice: 'Check the turn id: this user has no such turn.' },
  MESSAGE_INVALID: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Send the signal with the documented payload: JSON, one object.',
  },
  SETTINGS_INVALID: {
    kind: 'rejected',
    httpStatus: 500,
    advice: 'Correct the settings that the message lists; .env.example documents each.',
  },
  PORT_IN_USE: {
    kind: 'rejected',
    httpStatus: 500,
    advice: 'Stop what listens on the port, choose another, or start with --ports auto.',
  },
  DATA_IN_USE: {
    kind: 'rejected',
    httpStatus: 500,
    advice: 'Stop the other run, or give this one a folder of its own with --data.',
  },

  // Input of a client of the gateway.
  UNAUTHENTICATED: {
    kind: 'rejected',
    httpStatus: 401,
    advice:
      'Send "authorization: Bearer" with a key of this deployment (innkeeper keys create), or a valid token of a user.',
  },
  FORBIDDEN: {
    kind: 'rejected',
    httpStatus: 403,
    advice: 'Use a key of the scope that the route asks for; a token of a user reaches that user only.',
  },
  USER_MISSING: {
    kind: 'rejected',
    httpStatus: 400,
    advice: 'Name the user whose machine it is: the field "user" of the body, or the header x-innkeeper-user.',
  },
  MODEL_UNKNOWN: {
    kind: 'rejected',
    httpStatus: 404,
    advice: 'Ask for the model "innkeeper": GET /v1/models lists what there is.',
  },
  ROUTE_UNKNOWN: { kind: 'rejected', httpStatus: 404, advice: 'Look the path and the method up in /openapi.json.' },
  METHOD_NOT_ALLOWED: {
    kind: 'rejected',
    httpStatus: 405,
    advice: 'Use a method that the header allow names.',
  },
  BODY_TOO_LARGE: {
    kind: 'rejected',
    httpStatus: 413,
    advice: 'Send a body of at most 512 KiB, or 4 MiB where it holds a conversation: its last message is enough.',
  },
  MEDIA_TYPE_UNSUPPORTED: {
    kind: 'rejected',
    httpStatus: 415,
    advice: 'Send the body as application/json, or a file as application/octet-stream.',
  },
  STREAMS_EXCEEDED: {
    kind: 'rejected',
    httpStatus: 429,
    advice: 'Close an event stream before you open another: one for each user is enough.',
  },
  RATE_LIMITED: {
    kind: 'rejected',
    httpStatus: 429,
    advice: 'Send fewer requests: the header retry-after says when the next is taken.',
  },
  ORIGIN_REFUSED: {
    kind: 'rejected',
    httpStatus: 403,
    advice: "Ask from the gateway's own page, or put the page's origin into GATEWAY_ORIGINS.",
  },
  OUTPUT_UNKNOWN: {
    kind: 'rejected',
    httpStatus: 404,
    advice: 'Take the id of a command of this user (cmdId), after its end.',
  },
  RANGE_NOT_SATISFIABLE: {
    kind: 'rejected',
    httpStatus: 416,
    advice: 'Ask for one range that begins within the output or the file.',
  },
  PATH_REFUSED: {
    kind: 'rejected',
    httpStatus: 400,
    advice:
      'Send a path below the home directory, relative to it, as UTF-8 without NUL and ".."; .innkeeper is not reached.',
  },
  FILE_UNKNOWN: { kind: 'rejected', httpStatus: 404, advice: 'List the folder: nothing of this name is there.' },
  FILE_WRONG_KIND: {
    kind: 'rejected',
    httpStatus: 409,
    advice: 'Read and write files, list folders; links are not followed, in no part of a path.',
  },
  FILE_CHANGED: { kind: 'rejected', httpStatus: 409, advice: 'The file was written to meanwhile: read it again.' },
  FILE_TOO_LARGE: {
    kind: 'rejected',
    httpStatus: 413,
    advice: 'Write files of at most 32 MiB; let the agent fetch what is larger.',
  },
  FOLDER_TOO_LARGE: {
    kind: 'rejected',
    httpStatus: 409,
    advice: 'Ask the agent what the folder holds: it is too large to be listed.',
  },
  FOLDER_NOT_EMPTY: { kind: 'rejected', httpStatus: 409, advice: 'Empty the folder first, or send recursive=true.' },
  PRECONDITION_FAILED: {
    kind: 'rejected',
    httpStatus: 412,
    advice: 'Read the file again, then decide: it is not what if-match or if-none-match expects.',
  },
  DISK_FULL: { kind: 'rejected', httpStatus: 507, advice: "Make room on the machine's disk, then write it again." },
  TRANSFER_ENDED: {
    kind: 'rejected',
    httpStatus: 408,
    advice: 'Send it again, without pauses: the connection or its time ended before all had crossed.',
  },
  FILE_REQUESTS_EXCEEDED: {
    kind: 'rejected',
    httpStatus: 429,
    advice: 'Wait for a request about files of this user to end, then send this one again.',
  },
  TURN_NOT_WAITING: {
    kind: 'rejected',
    httpStatus: 409,
    advice: 'Only a waiting turn can be removed from the queue: cancel one that runs.',
  },
  TERMINAL_TAKEN: {
    kind: 'rejected',
    httpStatus: 409,
    advice: 'Wait until it is handed back: the message says who holds it, and until when at least.',
  },
  TERMINALS_EXCEEDED: {
    kind: 'rejected',
    httpStatus: 429,
    advice: 'Hand a terminal back, or connect again: another replica may have room.',
  },
  TERMINALS_UNSUPPORTED: {
    kind: 'permanent',
    httpStatus: 501,
    advice: 'This machine provider has no terminals: let the agent run the commands.',
  },
  UPGRADE_REQUIRED: {
    kind: 'rejected',
    httpStatus: 426,
    advice: 'Open the route as a WebSocket, with its subprotocol (docs/clients.md).',
  },
  MACHINE_ACCESS_OFF: {
    kind: 'permanent',
    httpStatus: 501,
    advice: 'Give the gateway its own way to machines: DEDALUS_MACHINES_BASE_URL and DEDALUS_API_KEY.',
  },

  // Parts that are away.
  LANE_UNREACHABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The turn is stored but Temporal did not take the signal: repeat with the same turn id.',
  },
  STORE_UNAVAILABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'Check that Postgres runs and that the database URL is right, then repeat.',
  },
  GATEWAY_UNAVAILABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'Read the log of the gateway; the message shows its end.',
  },
  TOKEN_KEYS_UNAVAILABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'Check that USER_TOKENS_JWKS_URL answers with the keys of the issuer, then repeat.',
  },
  STORE_NOT_MIGRATED: { kind: 'permanent', httpStatus: 503, advice: 'Run `innkeeper migrate` against this database.' },
  TEMPORAL_UNAVAILABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'Check that Temporal runs and that its address is right.',
  },
  SEARCH_ATTRIBUTES_MISSING: {
    kind: 'permanent',
    httpStatus: 503,
    advice:
      'Start a worker with the right to register search attributes, or register them by hand (docs/operations.md).',
  },
  RECONCILE_UNFINISHED: {
    kind: 'transient',
    httpStatus: 504,
    advice: 'Look at its workflow in the Temporal UI, and that a worker runs; what was found so far is on record.',
  },
  RESULT_TIMEOUT: { kind: 'transient', httpStatus: 504, advice: 'The turn is not over yet: ask for its result again.' },

  // Fencing.
  STALE_LANE: {
    kind: 'permanent',
    httpStatus: 409,
    advice: 'A newer run of the lane owns the user; the older one writes nothing.',
  },
  STALE_TRY: {
    // Repeated: tries are numbered as they arrive, so the one that was overtaken may be the one that counts.
    kind: 'ambiguous',
    httpStatus: 409,
    advice: 'Another attempt of the step began later and owns it; this one writes nothing.',
  },

  // Machine provider.
  PROVIDER_UNAVAILABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The machine provider is away or overloaded: it is tried again by itself.',
  },
  PROVIDER_RATE_LIMITED: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The machine provider asked to slow down: it is tried again after the time it named.',
  },
  PROVIDER_UNAUTHORIZED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'Check the machine provider key and its organisation (DEDALUS_API_KEY).',
  },
  PROVIDER_REFUSED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'The machine provider refused the request: read its message, often the machine size.',
  },
  PROVIDER_ROUTE_CLOSED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'The provider does not offer this route to this key; another way is used where there is one.',
  },
  PROVIDER_KEY_REUSED: {
    kind: 'bug',
    httpStatus: 502,
    advice: 'An idempotency key met another request body: report it.',
  },
  REVISION_CONFLICT: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'Somebody else changed the machine meanwhile: it is read again and the request repeated.',
  },
  MACHINE_INVALID_STATE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The machine is in a state that does not allow this yet: it is read again.',
  },
  MACHINE_NOT_READY: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The machine is still on its way: it is asked again.',
  },
  MACHINE_ASLEEP: {
    kind: 'rejected',
    httpStatus: 409,
    advice: 'The machine is not awake: for a turn the lane wakes it; for anything else ask for a wake, then repeat.',
  },
  LEASE_ENDED: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The lease on the machine ended, or the machine went away, before the work was done: take it again.',
  },
  MACHINE_LOST: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'The machine is gone or failed for good: the next generation replaces it.',
  },
  MACHINE_UNAVAILABLE: {
    kind: 'permanent',
    httpStatus: 502,
    advice: "No machine could be had for this turn: read the lane's last error, then send the message again.",
  },
  GUEST_UNREACHABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The machine does not answer on its terminal or executions: it is tried again.',
  },
  GUEST_CONFLICT: {
    kind: 'bug',
    httpStatus: 500,
    advice: 'A command id met another body or owner on the machine: report it.',
  },
  ATTACHMENT_FENCED: {
    kind: 'permanent',
    httpStatus: 409,
    advice: "A newer attachment owns the machine's runner; the older one does nothing.",
  },

  // Model.
  MODEL_UNAVAILABLE: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The model service is away or overloaded: it is tried again by itself.',
  },
  MODEL_RATE_LIMITED: {
    kind: 'transient',
    httpStatus: 503,
    advice: 'The model service asked to slow down: it is tried again after the time it named.',
  },
  MODEL_UNAUTHORIZED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'Check the model key (MODEL_API_KEY) and its balance.',
  },
  MODEL_REJECTED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: "The model service refused the request: read its message; often the model's name or the context size.",
  },
  MODEL_REFUSED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'The model refused to answer; what it said is kept in the transcript.',
  },
  MODEL_EMPTY_ANSWER: {
    kind: 'transient',
    httpStatus: 502,
    advice: 'The model answered nothing several times: send the message again or choose another model.',
  },

  // Ends of a turn.
  TURN_STEPS_EXCEEDED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'The agent used all its steps: send a message to go on, or raise the limit.',
  },
  TURN_DEADLINE_EXCEEDED: {
    kind: 'permanent',
    httpStatus: 502,
    advice: 'The turn ran into its time limit: send a message to go on, or raise the limit.',
  },
  CANCELLED: {
    kind: 'cancelled',
    httpStatus: 409,
    advice: 'The turn was cancelled; what was said and done so far is kept.',
  },
  INTERNAL: { kind: 'bug', httpStatus: 500, advice: 'This is a defect: report it with the time and the turn id.' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof table;
export const ERROR_TABLE: Readonly<Record<ErrorCode, ErrorEntry>> = table;

/** True for text that is one of our codes. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === 'string' && Object.hasOwn(table, text);
}

/**
 * The one error class of the project, outside workflow code.
 * `retryAfterMs` is the wait that the far side asked for; `details` is small JSON that is safe to show an operator.
 */
export class InnkeeperError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, string | number | boolean>> | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      cause?: unknown;
      retryAfterMs?: number;
      details?: Readonly<Record<string, string | number | boolean>>;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'InnkeeperError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
  }

  get kind(): ErrorKind {
    return ERROR_TABLE[this.code].kind;
  }

  /** What to do about it, one sentence. */
  get advice(): string {
    return ERROR_TABLE[this.code].advice;
  }

  static is(error: unknown): error is InnkeeperError {
    return error instanceof InnkeeperError;
  }
}
