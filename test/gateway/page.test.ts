/**
 * Goal: the gateway serves the page as it was built, small and under a policy of its own, to whoever asks, and nothing but the page; and
 * the page is made of nothing that belongs on a server. Method: the built page from a real gateway; a build of a page that is made to
 * break the rule.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DIST_DIR, PROJECT_ROOT } from '../../src/dev/paths.js';
import { openGateway, type TestGateway } from './support/gateway.js';

/** All that a first visit loads, as it is sent. */
const FIRST_LOAD_BYTES_MAX = 250 * 1024;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openGateway({ pageFolder: join(DIST_DIR, 'web') });
});
afterAll(() => gateway.close());

const get = (path: string, headers: Record<string, string> = {}) => gateway.ask(path, { key: null, headers });
const assetsOf = (html: string): string[] => [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);

/** As it is sent, without fetch's own unpacking. */
async function sizeOf(path: string): Promise<number> {
  const { headers } = await gateway.app.inject({ url: path, headers: { 'accept-encoding': 'gzip' } });
  expect(headers['content-encoding']).toBe('gzip');
  return Number(headers['content-length']);
}

describe('the page', () => {
  it('needs no credential, loads nothing from elsewhere, and no script but its own', async () => {
    const { status, headers, text } = await get('/');
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = headers.get('content-security-policy') ?? '';
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]) {
      expect(policy.split('; ')).toContain(rule);
    }
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toMatch(/unsafe-eval|script-src[^;]*unsafe|https?:|\*/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    const assets = assetsOf(text);
    expect(assets).toHaveLength(3);
    for (const path of assets) {
      expect(path).toMatch(/^assets\/(page|style|icon)-[A-Z0-9]{8}\.(js|css|svg)$/);
      expect((await get(`/${path}`)).headers.get('cache-control')).toContain('immutable');
    }
    expect(text).not.toMatch(/<script(?![^>]* src=)/);
  });

  it('is small on its first visit, and is not sent again where nothing changed', async () => {
    const { headers, text } = await get('/');
    const paths = ['/', ...assetsOf(text).map((path) => `/${path}`)];
    const sizes = await Promise.all(paths.map(sizeOf));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(FIRST_LOAD_BYTES_MAX);
    const again = await get('/', { 'if-none-match': headers.get('etag') ?? '' });
    expect([again.status, again.text]).toEqual([304, '']);
  });

  it('is the same gzipped as plain', async () => {
    const [plain, gzipped] = await Promise.all(
      ['identity', 'br, gzip;q=0.5'].map((accepted) =>
        gateway.app.inject({ url: '/', headers: { 'accept-encoding': accepted } }),
      ),
    );
    expect(plain?.headers['content-encoding']).toBeUndefined();
    expect(gunzipSync(gzipped?.rawPayload ?? '').toString()).toBe(plain?.payload);
    const refused = await gateway.app.inject({ url: '/', headers: { 'accept-encoding': 'gzip;q=0' } });
    expect(refused.headers['content-encoding']).toBeUndefined();
  });

  it.each([
    '/assets/none.js',
    '/assets/..%2findex.html',
    '/assets/%2e%2e/%2e%2e/gateway.js',
    '/assets/',
    '/index.html',
  ])('%s is no part of it', async (path) => {
    expect(await get(path)).toMatchObject({ status: 404, json: { code: 'ROUTE_UNKNOWN' } });
  });

  it('that is not there is not served, and nothing else is missing', async () => {
    const bare = await openGateway({ pageFolder: join(DIST_DIR, 'no-page') });
    try {
      expect(await bare.ask('/', { key: null })).toMatchObject({ status: 404 });
      expect(await bare.ask('/healthz', { key: null })).toMatchObject({ status: 200 });
    } finally {
      await bare.close();
    }
  });
});

describe('the build of the page', () => {
  it('takes nothing that belongs on a server', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'innkeeper-page-'));
    const script = `import { buildPage } from ${JSON.stringify(join(PROJECT_ROOT, 'scripts', 'setup', 'page.mjs'))};
      await buildPage(${JSON.stringify(folder)}, { page: 'test/unit/fixtures/page/bad.ts' });`;
    try {
      const said = await new Promise<string>((resolve) => {
        execFile(process.execPath, ['--input-type=module', '-e', script], (_error, _stdout, stderr) => resolve(stderr));
      });
      expect(said).toContain('may not be made of src/cli/event-text.ts');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
