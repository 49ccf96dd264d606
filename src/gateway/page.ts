/**
 * The chat page: a handful of files, read once at the start and sent from memory. Names of assets change with their content. Its policy
 * lets nothing load but these files and nobody be asked but this gateway, and no script turn text into markup.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';
import type { Gateway } from './parts.js';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // The terminal colours its text by attributes; rules for whole elements come from the page's own file alone.
  "style-src-attr 'unsafe-inline'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const KEPT_FOR_EVER = 'public, max-age=31536000, immutable';

interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly plain: Buffer;
  readonly gzipped: Buffer;
}

/** Serves the page that lies in `folder`; without one, none is served. */
export function addPage(app: Gateway, folder: string | undefined): void {
  if (folder === undefined) return;
  const index = join(folder, 'index.html');
  if (!existsSync(index)) {
    app.log.warn({ folder }, 'there is no page: `npm run build` makes it');
    return;
  }
  const page = readFile(index);
  const assets = readAssets(join(folder, 'assets'));

  app.get('/', { schema: { hide: true } }, async (request, reply) => {
    void reply.headers({ 'content-security-policy': POLICY, 'cache-control': 'no-cache' });
    return answer(request, reply, page);
  });
  app.get(
    '/assets/:name',
    { schema: { hide: true, params: z.object({ name: z.string() }) } },
    async (request, reply) => {
      const asset = assets.get(request.params.name);
      if (asset === undefined) throw new InnkeeperError('ROUTE_UNKNOWN', 'The page has no such file.');
      void reply.header('cache-control', KEPT_FOR_EVER);
      return answer(request, reply, asset);
    },
  );
}

function readAssets(folder: string): ReadonlyMap<string, PageFile> {
  const names = readdirSync(folder).filter((name) => extname(name) in TYPES);
  return new Map(names.map((name) => [name, readFile(join(folder, name))]));
}

function readFile(path: string): PageFile {
  const plain = readFileSync(path);
  const etag = createHash('sha256').update(plain).digest('base64url').slice(0, 22);
  return { type: TYPES[extname(path)] ?? '', etag, plain, gzipped: readFileSync(`${path}.gz`) };
}

function answer(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  const isGzipped = takesGzip(request.headers['accept-encoding']);
  const etag = `"${file.etag}${isGzipped ? '-gz' : ''}"`;
  void reply.headers({ etag, vary: 'accept-encoding', 'content-type': file.type });
  if (request.headers['if-none-match'] === etag) return reply.status(304).send();
  if (isGzipped) void reply.header('content-encoding', 'gzip');
  return reply.send(isGzipped ? file.gzipped : file.plain);
}

function takesGzip(accepted: string | string[] | undefined): boolean {
  return String(accepted ?? '')
    .split(',')
    .some((each) => /^\s*gzip\s*(;|$)/.test(each) && !/;\s*q=0(\.0*)?\s*$/.test(each));
}
