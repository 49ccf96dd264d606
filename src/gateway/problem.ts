/** Errors -> answers: problem details (RFC 9457) with our stable codes. The only place of the gateway that maps errors. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ERROR_TABLE, InnkeeperError, type ErrorCode } from '../contracts/errors.js';

export const PROBLEM_TYPE = 'application/problem+json';

export const problemSchema = z
  .object({
    type: z.string().describe('A name of the kind of problem, made from the code'),
    title: z.string().describe('What to do about it'),
    status: z.int(),
    detail: z.string().describe('What went wrong, in prose'),
    code: z.string().describe('The stable code: the contract'),
    instance: z.string().describe('Id of the request, as the log has it'),
  })
  .meta({ id: 'Problem' });

/** What Fastify itself refuses, by its code. */
const OF_FASTIFY: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'MEDIA_TYPE_UNSUPPORTED',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'INVALID_INPUT',
  FST_ERR_CTP_INVALID_JSON_BODY: 'INVALID_INPUT',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'INVALID_INPUT',
};

export function toInnkeeperError(error: unknown): InnkeeperError {
  if (InnkeeperError.is(error)) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const problems = error.validation.map(({ instancePath, message }) =>
      `${instancePath || '/'} ${message ?? ''}`.trim(),
    );
    return new InnkeeperError('INVALID_INPUT', problems.join('; '), { cause: error });
  }
  const { code = '', message = '', statusCode = 500 } = error as Partial<FastifyError>;
  const known = OF_FASTIFY[code];
  if (known !== undefined) return new InnkeeperError(known, message, { cause: error });
  // What else a client did to the protocol; the rest is ours.
  if (statusCode >= 400 && statusCode < 500) return new InnkeeperError('INVALID_INPUT', message, { cause: error });
  return new InnkeeperError('INTERNAL', 'The gateway failed; its log says how.', { cause: error });
}

export async function answerProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const known = toInnkeeperError(error);
  const { httpStatus: status, advice } = ERROR_TABLE[known.code];
  if (status >= 500) request.log.warn({ code: known.code, err: known.cause ?? known }, 'request failed');
  if (status === 401) void reply.header('www-authenticate', 'Bearer');
  if (known.retryAfterMs !== undefined) void reply.header('retry-after', String(Math.ceil(known.retryAfterMs / 1_000)));
  const type = `urn:innkeeper:problem:${known.code.toLowerCase().replaceAll('_', '-')}`;
  const body = { type, title: advice, status, detail: known.message, code: known.code, instance: request.id };
  await reply.status(status).type(PROBLEM_TYPE).send(JSON.stringify(body));
}
