/**
 * Goal: what is watched does not suffer from who watches, or from who is away. Method: listeners asked over real connections, a Postgres
 * that is not there, a collector that is not there.
 */
import { Gauge, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { SPANS_QUEUED_MAX } from '../../src/contracts/limits.js';
import { createGatewayMetrics } from '../../src/gateway/metrics.js';
import { createLogger, silentLogger } from '../../src/log.js';
import { createPool } from '../../src/store/pool.js';
import { serveMetrics } from '../../src/telemetry/metrics-server.js';
import { startSpan } from '../../src/telemetry/spans.js';
import { startTracing } from '../../src/telemetry/tracing.js';
import { scrape } from '../support/figures.js';
import { startSpanCollector } from '../support/span-collector.js';

const ANYWHERE = { host: '127.0.0.1', port: 0 };
const NOWHERE = '127.0.0.1:1';

describe('figures', () => {
  it('are served at one path; a port that is taken is said to be', async () => {
    const server = await serveMetrics(new Registry(), ANYWHERE);
    try {
      expect((await scrape(server.url)).of('process_start_time_seconds')).toBeGreaterThan(0);
      expect((await fetch(new URL('/', server.url))).status).toBe(404);
      const { port } = new URL(server.url);
      const second = serveMetrics(new Registry(), { ...ANYWHERE, port: Number(port) });
      await expect(second).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    } finally {
      await server.close();
    }
  });

  it('that cannot be collected are an error of that scrape alone', async () => {
    const registry = new Registry();
    let isBroken = true;
    const collect = (): void => {
      if (isBroken) throw new Error('no');
    };
    registry.registerMetric(new Gauge({ name: 'a_gauge', help: 'of the test', registers: [], collect }));
    const server = await serveMetrics(registry, ANYWHERE);
    try {
      expect((await fetch(server.url)).status).toBe(500);
      isBroken = false;
      expect((await fetch(server.url)).status).toBe(200);
    } finally {
      await server.close();
    }
  });

  it('of the gateway say that Postgres is away, and count nothing then', async () => {
    const store = createPool({ url: `postgres://nobody@${NOWHERE}/none`, poolMax: 1, applicationName: 'test' });
    const { registry } = createGatewayMetrics({ store });
    const text = await registry.metrics();
    expect(text).toContain('innkeeper_store_up 0');
    expect(text).not.toMatch(/^innkeeper_(machines|open_turns)\{/m);
    await store.end();
  });
});

describe('traces', () => {
  it('are not made unless told to', async () => {
    const tracing = await startTracing(undefined, { service: 'test', log: silentLogger() });
    expect(startSpan('nothing').isRecording()).toBe(false);
    await tracing.close();
  });

  it('are sent at the end, more than is kept being dropped', async () => {
    const collector = await startSpanCollector();
    const settings = { endpoint: `${collector.endpoint}/`, headers: { 'x-key': 'a key' } };
    const tracing = await startTracing(settings, { service: 'test', log: silentLogger() });
    // In one go: nothing is sent meanwhile.
    for (let made = 0; made < SPANS_QUEUED_MAX + 600; made += 1) startSpan(`span ${made}`).end();
    await tracing.close();
    await collector.close();
    expect(collector.spans.length).toBeGreaterThanOrEqual(SPANS_QUEUED_MAX);
    expect(collector.spans.length).toBeLessThan(SPANS_QUEUED_MAX + 600);
    expect(collector.spans[0]).toMatchObject({ service: 'test', name: 'span 0', parentSpanId: '' });
    expect(collector.header('x-key')).toBe('a key');
  });

  it('that nobody takes are told of once, and do not keep a process from ending', async () => {
    const lines: string[] = [];
    const destination = { write: (line: string): void => void lines.push(line) };
    const log = createLogger({ level: 'info', part: 'test', pretty: false, destination });
    const tracing = await startTracing({ endpoint: `http://${NOWHERE}`, headers: {} }, { service: 'test', log });
    for (let made = 0; made < 600; made += 1) startSpan('lost').end();
    await tracing.close();
    expect(lines.filter((line) => line.includes('traces cannot be sent'))).toHaveLength(1);
  });
});
