/** Goal: an operator finds every metric explained, and no other. Method: the names as they are registered, against docs/operations.md. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { createGatewayMetrics } from '../../../src/gateway/metrics.js';
import { createFigures } from '../../../src/worker/metrics/figures.js';

const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
/** Of a database that is not asked here. */
const store = { query: () => Promise.reject(new Error('not asked')) };

it('docs/operations.md lists every metric', () => {
  const registries = [createFigures().registry, createGatewayMetrics({ store }).registry];
  const names = registries.flatMap((registry) => registry.getMetricsAsArray().map(({ name }) => name));
  const listed = [...text.matchAll(/^\| `(innkeeper_\w+)`/gm)].map(([, name]) => name);
  expect(listed.toSorted()).toEqual(names.toSorted());
});
