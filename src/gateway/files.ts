/**
 * Files of a user's machine over HTTP. They are not serialised with the agent's commands: a write is whole or is not there, and a read
 * that meets another file half-way is cut off. Paths are the user's words: no line of the log has one.
 */
import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';
import { FILE_BYTES_MAX, FILE_PIECE_BYTES } from '../contracts/limits.js';
import type { FileAbout, FolderEntry } from '../guest/file-answers.js';
import { createFiles, type FilesOf } from '../guest/files.js';
import { newIdempotencyKey } from '../machines/idempotency-key.js';
import { BYTES_TYPE, bytesOf, rangeOf } from './bytes.js';
import { received, taken, tooLarge } from './file-flow.js';
import {
  assertDecodable,
  contentHeadersOf,
  headersOf,
  isKnown,
  toEtag,
  toFilePath,
  toPath,
  toWanted,
  wantedRange,
} from './file-headers.js';
import {
  deletedView,
  deleteQuery,
  fileQuery,
  fileView,
  folderPage,
  folderQuery,
  readHeaders,
  writeHeaders,
} from './file-views.js';
import { createFileVisits } from './file-visits.js';
import type { Gateway, RouteParts } from './parts.js';
import { describe, problems, userOf } from './routes.js';
import { userParams } from './views.js';

const TAGS = ['files'] as const;
const FOLDER = '/v1/users/:user/files';
const CONTENT = `${FOLDER}/content`;

export async function addFileRoutes(gateway: Gateway, parts: RouteParts): Promise<void> {
  const files = createFiles({ newKey: newIdempotencyKey });
  const visits = createFileVisits(parts);
  gateway.addHook('onClose', visits.settle);
  const { stallMs } = parts.streams;

  /** The work of a request, while the machine is held. */
  function visit<T>(request: VisitRequest, reply: FastifyReply, work: (of: FilesOf) => Promise<T>): Promise<T> {
    const { principal, params, query } = request;
    const holder = principal?.kind === 'key' ? principal.keyId : 'user';
    return visits.visit({ userId: userOf(params), holder, wakes: query.wake === 'true', reply }, work);
  }

  async function answerContent(request: ReadRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { headers, method } = request;
    const path = toPath(request.query.path);
    await visit(request, reply, async (of) => {
      const isWhole = method === 'GET' && headers.range === undefined;
      const { about, first } = await files.open(of, { path, bytes: isWhole ? FILE_PIECE_BYTES : 0 });
      const etag = toEtag(about);
      void reply.headers(headersOf(about));
      if (isKnown(headers['if-none-match'], etag)) return void reply.status(304).send();
      const range = rangeIn(about, wantedRange(headers, etag), reply);
      const [start, end] = range === undefined ? [0, about.size] : [range.start, range.end + 1];
      void reply.status(range === undefined ? 200 : 206).headers(contentHeadersOf(path));
      void reply.header('content-length', String(end - start));
      if (method === 'HEAD') return void reply.send();
      const rest = files.read(of, { path, about, start: start + first.length, end });
      const pieces = taken(joined(first, rest), { stallMs, cut: () => reply.raw.destroy() });
      const body = Readable.from(pieces, { objectMode: false, highWaterMark: FILE_PIECE_BYTES });
      // Also where it fails: then the connection is cut, since the length was told.
      const over = new Promise<void>((resolve) => void body.once('close', resolve));
      void reply.send(body);
      return over;
    });
    return reply;
  }

  await gateway.register(async (scope) => {
    const app = scope.withTypeProvider<ZodTypeProvider>();
    app.addHook('preParsing', async ({ raw: { url = '' } }) => assertDecodable(url));
    app.removeAllContentTypeParsers();
    // Also of no type, as clients send a file that they know nothing of.
    app.addContentTypeParser('*', (request, payload, done) => {
      const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
      if (type === undefined || type === BYTES_TYPE) done(null, payload);
      else done(new InnkeeperError('MEDIA_TYPE_UNSUPPORTED', `A file is sent as ${BYTES_TYPE}.`));
    });

    app.get(
      FOLDER,
      describe('user', {
        ...{ summary: "List a folder of the machine's home directory", tags: TAGS },
        ...{ params: userParams, querystring: folderQuery, response: { 200: folderPage, ...problems } },
      }),
      async (request, reply) => {
        const { limit, cursor = '' } = request.query;
        const path = toPath(request.query.path);
        const after = toName(cursor);
        const folder = await visit(request, reply, (of) => files.list(of, { path, after, limit }));
        const next = folder.hasMore ? (folder.entries.at(-1)?.name.toString('base64url') ?? null) : null;
        return { items: folder.entries.map((entry) => toItem(path, entry)), next, count: folder.count };
      },
    );

    app.delete(
      FOLDER,
      describe('user', {
        ...{ summary: 'Delete a file, a link or a folder', tags: TAGS },
        ...{ params: userParams, querystring: deleteQuery, response: { 200: deletedView, ...problems } },
      }),
      async (request, reply) => {
        const path = toPath(request.query.path);
        const isRecursive = request.query.recursive === 'true';
        await visit(request, reply, (of) => files.remove(of, { path, isRecursive }));
        return { deleted: true as const };
      },
    );

    const reading = {
      ...{ summary: 'Read a file, or a range of it', tags: TAGS },
      ...{ params: userParams, querystring: fileQuery, headers: readHeaders },
      response: { 200: bytesOf('The file'), 206: bytesOf('The range'), ...problems },
    };
    // HEAD is a route of its own: that which comes with each GET would read the whole.
    app.get(CONTENT, { ...describe('user', reading), exposeHeadRoute: false }, answerContent);
    app.head(CONTENT, describe('user', { ...reading, hide: true }), answerContent);

    app.put(
      CONTENT,
      describe('user', {
        ...{ summary: 'Write a file, whole, with the folders that it needs', tags: TAGS },
        ...{ params: userParams, querystring: fileQuery, headers: writeHeaders },
        ...{ body: z.any(), consumes: [BYTES_TYPE], response: { 200: fileView, 201: fileView, ...problems } },
      }),
      async (request, reply) => {
        const path = toFilePath(request.query.path);
        const wanted = toWanted(request.headers);
        const bounds = { bytesMax: FILE_BYTES_MAX, stallMs };
        // What is refused is not read to its end.
        void reply.header('connection', 'close');
        if (Number(request.raw.headers['content-length'] ?? 0) > FILE_BYTES_MAX) throw tooLarge(FILE_BYTES_MAX);
        const body = request.body instanceof Readable ? request.body : Readable.from([]);
        const { about, isNew } = await visit(request, reply, (of) =>
          files.write(of, { path, content: received(body, bounds), wanted }),
        );
        void reply.removeHeader('connection');
        return reply
          .status(isNew ? 201 : 200)
          .header('etag', toEtag(about))
          .send(toView(path, about));
      },
    );
  });
}

interface VisitRequest extends Pick<FastifyRequest, 'principal'> {
  readonly params: z.infer<typeof userParams>;
  readonly query: Pick<z.infer<typeof fileQuery>, 'wake'>;
}

interface ReadRequest extends VisitRequest, Pick<FastifyRequest, 'method'> {
  readonly query: z.infer<typeof fileQuery>;
  readonly headers: z.infer<typeof readHeaders>;
}

/** @throws InnkeeperError RANGE_NOT_SATISFIABLE */
function rangeIn({ size }: FileAbout, header: string | undefined, reply: FastifyReply) {
  try {
    const range = rangeOf(size, header);
    if (range !== undefined) void reply.header('content-range', `bytes ${range.start}-${range.end}/${size}`);
    return range;
  } catch (error) {
    void reply.header('content-range', `bytes */${size}`);
    throw error;
  }
}

async function* joined(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  yield* rest;
}

/** The name behind which a page begins. @throws InnkeeperError INVALID_INPUT */
function toName(cursor: string): Buffer {
  if (/^[\w-]{0,400}$/.test(cursor)) return Buffer.from(cursor, 'base64url');
  throw new InnkeeperError('INVALID_INPUT', 'The cursor is none of this list: take `next` of the page before.');
}

function toItem(folder: string, { name, modifiedAt, ...about }: FolderEntry) {
  const text = name.toString('utf8');
  const path = folder === '' || folder.endsWith('/') ? folder + text : `${folder}/${text}`;
  return { name: text, path: isUtf8(name) ? path : null, ...about, modifiedAt: modifiedAt.toISOString() };
}

function toView(path: string, { size, mode, modifiedAt }: FileAbout) {
  return { path, size, mode, modifiedAt: modifiedAt.toISOString() };
}
