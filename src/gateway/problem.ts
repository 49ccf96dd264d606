/** Errors -> answers: problem details (RFC 9457) with our stable codes. The only place of the gateway that maps errors. */
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { v7 as uuidv7 } from 'uuid';
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
  const known = beginRefusal(error, request, reply);
  await reply.type(PROBLEM_TYPE).send(toBody(known, request.id));
}

/** Logs what failed, and sets the status and the headers of an answer whose body is still to come, in whichever shape. */
export function beginRefusal(error: unknown, request: FastifyRequest, reply: FastifyReply): InnkeeperError {
  const known = toInnkeeperError(error);
  const { code, cause, retryAfterMs } = known;
  const { httpStatus: status } = ERROR_TABLE[code];
  if (status >= 500) request.log.warn({ code, err: cause ?? known }, 'request failed');
  if (status === 401) void reply.header('www-authenticate', 'Bearer');
  if (retryAfterMs !== undefined) void reply.header('retry-after', String(Math.ceil(retryAfterMs / 1_000)));
  void reply.status(status);
  return known;
}

/** What Node refuses before there is a request: bytes that are no HTTP, headers beyond their bound, a request that does not end. */
export function answerUnreadable(error: ConnectionError, socket: Socket): void {
  // Reset, or closed by the other side: nobody listens.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const body = toBody(new InnkeeperError('INVALID_INPUT', `The request cannot be read: ${error.message}.`), uuidv7());
  const head = [
    ...['HTTP/1.1 400 Bad Request', 'connection: close', `content-type: ${PROBLEM_TYPE}`],
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function toBody({ code, message: detail }: InnkeeperError, instance: string): string {
  const { httpStatus: status, advice: title } = ERROR_TABLE[code];
  const type = `urn:innkeeper:problem:${code.toLowerCase().replaceAll('_', '-')}`;
  return JSON.stringify({ type, title, status, detail, code, instance });
}
