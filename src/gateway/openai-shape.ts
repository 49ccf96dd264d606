/** What the routes for clients of OpenAI's API share: how they are described, who they are for, what they take, and the shape of errors. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { TurnView } from '../client.js';
import { ERROR_TABLE, InnkeeperError } from '../contracts/errors.js';
import { CONVERSATION_BODY_BYTES_MAX } from '../contracts/limits.js';
import { cancelHeaders } from './cancel-on-disconnect.js';
import { beginRefusal } from './problem.js';
import { describe } from './routes.js';
import { COMMANDS_SHOWN } from './turn-text.js';

/** The one that there is: who answers is the agent, whatever model the deployment gave it. */
export const MODEL = 'innkeeper';
export const JSON_TYPE = 'application/json';

const errorSchema = z
  .object({
    error: z.object({
      message: z.string().describe('What went wrong and what to do, in prose'),
      type: z.string(),
      param: z.string().nullable().describe('The field that it is about'),
      code: z.string().describe('The stable code: the contract'),
    }),
  })
  .meta({ id: 'OpenAiError' });

const errorAnswer = (description: string) => ({ description, content: { [JSON_TYPE]: { schema: errorSchema } } });
export const openAiErrors = {
  '4xx': errorAnswer('The request was refused, or the turn was cancelled'),
  '5xx': errorAnswer('A part is away, or the turn failed'),
} as const;

export const userHeader = {
  'x-innkeeper-user': z
    .string()
    .optional()
    .describe('The user, where the body does not name one; percent-encoded where it is not ASCII'),
};
export const commandsHeader = {
  'x-innkeeper-commands': z
    .enum(COMMANDS_SHOWN)
    .default('text')
    .describe("The agent's commands: within the text, as a field `innkeeper` beside it, or not at all"),
};
export const createHeaders = z.object({
  'idempotency-key': z.string().optional().describe('Your id of the message, which the turn takes as its own'),
  ...userHeader,
  ...commandsHeader,
  ...cancelHeaders.shape,
  'x-stainless-retry-count': z.string().optional().describe("Above 0: the client's own retry"),
});

/** The field of our own that other clients overlook. */
export const commandView = z
  .object({
    id: z.string().describe('Names its output, and the command on the machine'),
    step: z.int(),
    index: z.int(),
    tool: z.string(),
    title: z.string().describe('The command, or the path of a file tool'),
    outcome: z.string().nullable().describe('null: it runs'),
    exitCode: z.int().nullable(),
    outputBytes: z.int().nullable().describe('Of all that it wrote'),
    output: z.string().nullable().describe('Without control sequences; head and tail'),
  })
  .meta({ id: 'OpenAiCommand' });

/** OpenAI's instants. */
export const secondsOf = (iso: string): number => Math.floor(Date.parse(iso) / 1_000);

/** Description and handling of a route; a body may carry the whole conversation. */
export function openAiRoute<T extends object>(schema: T & { readonly summary: string }) {
  return {
    ...describe('named', { tags: ['openai'] as const, ...schema }),
    bodyLimit: CONVERSATION_BODY_BYTES_MAX,
    errorHandler: answerOpenAiError,
    onRequest: async (request: FastifyRequest, reply: FastifyReply) => void reply.header('x-request-id', request.id),
  };
}

/** What the header says, decoded; an id itself holds no "%". */
export function userInHeader({ 'x-innkeeper-user': user }: { readonly 'x-innkeeper-user'?: string | undefined }) {
  try {
    return user === undefined ? undefined : decodeURIComponent(user);
  } catch {
    return user; // Refused as an id.
  }
}

/** @throws InnkeeperError MODEL_UNKNOWN */
export function assertModel(model: string | null | undefined): void {
  if (model === undefined || model === null || model === MODEL) return;
  throw new InnkeeperError('MODEL_UNKNOWN', 'There is no such model.', { details: { param: 'model' } });
}

/** The new message: the last that the user said. What else the client's history holds is on record here. */
export function lastOfUser<T extends { readonly role?: string | undefined }>(items: readonly T[]): T | undefined {
  return items.findLast(({ role }) => role === 'user');
}

/**
 * Text of a message's content, its parts one below the other.
 * @throws InnkeeperError INVALID_INPUT: there is none, or there is something else than text
 */
export function toPrompt(
  content: unknown,
  { param, partType }: { readonly param: string; readonly partType: string },
): string {
  if (typeof content === 'string') return content;
  const refuse = (message: string): never => {
    throw new InnkeeperError('INVALID_INPUT', message, { details: { param } });
  };
  if (!Array.isArray(content)) return refuse(`There is no message of the user in ${param}.`);
  const texts = content.map((part: unknown) => {
    const { type, text } = (part ?? {}) as { readonly type?: unknown; readonly text?: unknown };
    if (type === partType && typeof text === 'string') return text;
    return refuse(
      `The last message of the user holds something else than text: only parts of the type ${partType} are taken.`,
    );
  });
  return texts.join('\n');
}

export interface OpenAiError {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string;
}

export function toOpenAiError({ code, message, advice, details }: InnkeeperError): OpenAiError {
  const param = typeof details?.['param'] === 'string' ? details['param'] : null;
  return { message: `${message} ${advice}`, type: typeOf(ERROR_TABLE[code].httpStatus), param, code };
}

function typeOf(status: number): string {
  if (status >= 500) return 'server_error';
  const known: Partial<Record<number, string>> = {
    401: 'authentication_error',
    403: 'permission_error',
    429: 'rate_limit_error',
  };
  return known[status] ?? 'invalid_request_error';
}

/** How a turn ended that did not complete. */
export function toTurnError({ state, errorCode }: Pick<TurnView, 'state' | 'errorCode'>): InnkeeperError {
  const message = state === 'cancelled' ? 'The turn was cancelled.' : 'The turn failed.';
  return new InnkeeperError(errorCode ?? 'INTERNAL', message);
}

/** For a stream whose turn goes on without it. */
export const BROKEN = toOpenAiError(
  new InnkeeperError('RESULT_TIMEOUT', 'The stream ends before the turn: send the same request again to join it.'),
);

async function answerOpenAiError(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const known = beginRefusal(error, request, reply);
  const { httpStatus: status, kind } = ERROR_TABLE[known.code];
  // OpenAI's clients repeat 409 and 5xx unless they are told; what would say the same again is not worth their time.
  const isWorthIt = kind === 'transient' || status === 429;
  if (!reply.hasHeader('x-should-retry')) void reply.header('x-should-retry', String(isWorthIt));
  const param = hasZodFastifySchemaValidationErrors(error)
    ? error.validation[0]?.instancePath.split('/')[1]
    : undefined;
  const body = toOpenAiError(known);
  await reply.type(JSON_TYPE).send(JSON.stringify({ error: { ...body, param: body.param ?? param ?? null } }));
}
