/**
 * Goal: the document at /openapi.json is true: every route is in it, and whatever a client asks is answered as it says.
 * Method: the document beside the routes of the server and a validator of OpenAPI; Schemathesis, which makes requests from the
 * document and against it (schemathesis.toml), at a gateway on a real Postgres and Temporal.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDedalusProvider } from '../../src/machines/dedalus/provider.js';
import type { MachineAccess } from '../../src/machines/provider.js';
import { statement } from '../../src/store/sql.js';
import { pythonOf } from '../support/python.js';
import { runProgram } from '../support/run-program.js';
import { openGateway, type TestGateway } from './support/gateway.js';

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: unknown;
  readonly parameters?: readonly { readonly in: string; readonly name: string; readonly required?: boolean }[];
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}

/** Errors as OpenAI's clients expect them, where ours are problem details. */
const isOpenAi = ({ tags }: Operation): boolean => tags?.includes('openai') === true;

const CONFIG = fileURLToPath(new URL('schemathesis.toml', import.meta.url));
/** Some 700 requests take 15 s; on a busy machine much longer. */
const COMPARE_MS = 5 * 60_000;
/** Before the test is given up, so that what was found is told. */
const GRACE_MS = 20_000;

let gateway: TestGateway;
let document: Record<string, unknown>;
let operations: { method: string; path: string; operation: Operation }[];

beforeAll(async () => {
  // Its users have any ids: their lanes must not meet those of other tests.
  // Nobody works here: who waits for an answer is told soon that there is none yet.
  gateway = await openGateway(
    { holds: { answerMs: 20, cancelMs: 20 }, machines: unasked() },
    { workflowIdKey: randomUUID() },
  );
  ({ json: document } = await gateway.ask('/openapi.json', { key: null }));
  operations = Object.entries(document['paths'] as Record<string, Record<string, Operation>>).flatMap(
    ([path, ofMethods]) =>
      Object.entries(ofMethods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
});
afterAll(() => gateway.close());

describe('the document', () => {
  it('is OpenAPI 3.1, and every reference in it leads somewhere', async () => {
    expect(document['openapi']).toMatch(/^3\.1\./);
    expect(await new Validator().validate(structuredClone(document))).toEqual({ valid: true });
  });

  it('has every route that asks for a credential, and no other', () => {
    const described = operations.map(({ method, path }) => `${method} ${path}`);
    const routes = routesOf(gateway.app.printRoutes({ commonPrefix: false }))
      // Those of HEAD come with each GET; of MCP only POST does anything.
      .filter((route) => /^(?!HEAD )\S+ \/v1\//.test(route) && !/^(GET|DELETE) \S+\/mcp$/.test(route))
      .map((route) => route.replaceAll(/:(\w+)/g, '{$1}'));
    expect(routes.length).toBeGreaterThanOrEqual(15);
    expect(described.toSorted()).toEqual(routes.toSorted());
  });

  it('says of each what it is for, what it takes and answers, and who may ask', () => {
    for (const { method, path, operation } of operations) {
      const name = `${method} ${path}`;
      expect(operation.summary, name).toMatch(/\S/);
      expect(operation.tags, name).toHaveLength(1);
      expect(operation.security, name).toEqual([{ bearer: [] }]);
      const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(
        inPath.map((parameter) => `{${parameter.name}}`),
        name,
      ).toEqual(path.match(/\{\w+\}/g) ?? []);
      expect(
        Object.keys(operation.responses).filter((status) => /^[12]/.test(status)),
        name,
      ).not.toEqual([]);
      for (const status of ['4XX', '5XX']) {
        // MCP has words of its own for what its messages lack.
        const ofMcp = path.endsWith('/mcp') && status === '4XX' ? ['application/json'] : [];
        const types = Object.keys(operation.responses[status]?.content ?? {});
        const own = isOpenAi(operation) ? 'application/json' : 'application/problem+json';
        expect(types, name).toEqual([own, ...ofMcp]);
      }
    }
  });

  it('names the media types of what is no JSON', () => {
    const typesOf = (path: string): string[] =>
      Object.keys(operations.find((one) => one.path === path)?.operation.responses['200']?.content ?? {});
    expect(typesOf('/v1/users/{user}/events')).toEqual(['text/event-stream']);
    expect(typesOf('/v1/responses/{response}')).toEqual(['application/json', 'text/event-stream']);
    expect(typesOf('/v1/users/{user}/outputs/{command}')).toEqual(['application/octet-stream']);
    expect(typesOf('/v1/users/{user}/mcp')).toEqual(['text/event-stream', 'application/json']);
    expect(typesOf('/v1/users/{user}/files/content')).toEqual(['application/octet-stream']);
  });
});

describe('the gateway', () => {
  it('answers nobody on any of its routes without a credential', async () => {
    for (const { method, path, operation } of operations) {
      const answer = await gateway.ask(path.replaceAll(/\{\w+\}/g, 'x'), { method, key: null });
      const error = { code: 'UNAUTHENTICATED' };
      const json = isOpenAi(operation) ? { error } : error;
      expect(answer, `${method} ${path}`).toMatchObject({ status: 401, json });
    }
  });

  it('does as the document says, whatever it is asked', { timeout: COMPARE_MS }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'innkeeper-openapi-'));
    try {
      const { code, stdout, stderr } = await runProgram(
        pythonOf('schemathesis'),
        ['-m', 'schemathesis.cli', '--no-color', '--config-file', CONFIG, 'run', `${gateway.base}/openapi.json`],
        {
          // It writes where it stands.
          cwd: folder,
          env: {
            INNKEEPER_KEY: gateway.keys.operator,
            HYPOTHESIS_STORAGE_DIRECTORY: join(folder, 'hypothesis'),
            PYTHONDONTWRITEBYTECODE: '1',
            PYTHONUTF8: '1',
          },
          timeoutMs: COMPARE_MS - GRACE_MS,
        },
      );
      expect(code, stdout + stderr).toBe(0);
      // All but those that answer nothing else.
      const isStream = ({ operation }: (typeof operations)[number]): boolean =>
        String(Object.keys(operation.responses['200']?.content ?? {})) === 'text/event-stream';
      const streams = operations.filter(isStream);
      expect(stdout).toMatch(new RegExp(`Tested: ${operations.length - streams.length}$`, 'm'));
      expect(await admitted(), stdout).toBeGreaterThan(0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** A way to machines that is never taken: no user here has one. */
function unasked(): MachineAccess {
  return createDedalusProvider({
    ...{ baseUrl: 'http://127.0.0.1:9', apiKey: 'none', requestTimeoutMs: 1_000, newKey: randomUUID },
    ...{ takesAutosleep: 'auto', sendIfMatch: true, terminalProtocol: 'auto' },
  });
}

/** Turns that came through, by Postgres. */
async function admitted(): Promise<number> {
  const { rows } = await gateway.test.store.query<{ turns: number }>(
    statement('count_turns', 'select count(*)::integer as turns from turns'),
    [],
  );
  return rows[0]?.turns ?? 0;
}

/** `GET /v1/users/:user` and so on, from the tree that Fastify prints: each line continues the one that it is a branch of. */
function routesOf(printed: string): string[] {
  const paths: string[] = [];
  return printed.split('\n').flatMap((line) => {
    const [, indent = '', part, methods = ''] = /^((?:│ {3}| {4})*)[├└]── (\S+) \(([^)]*)\)/u.exec(line) ?? [];
    if (part === undefined) return [];
    const depth = indent.length / 4;
    const path = `${paths[depth - 1] ?? ''}${part}`;
    paths[depth] = path;
    return methods.split(', ').map((method) => `${method} ${path}`);
  });
}
