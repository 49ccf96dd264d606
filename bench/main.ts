/** `npm run bench [-- --json FILE] [--only NAME] [--scale N]`: runs the benchmarks one after another and prints what came out. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isMet, type Benchmark } from './benchmark.js';
import { cancel } from './cancel.js';
import { delta, fanout } from './delta.js';
import { firstByte } from './first-byte.js';
import { history } from './history.js';
import { firstSse, httpAccept } from './http.js';
import { describeLoad, describeMachine } from './machine.js';
import { projection } from './projection.js';
import { stopAllRigs } from './rig.js';
import { sleepers } from './sleepers.js';
import { throughput } from './throughput.js';
import { turn } from './turn.js';
import { wake } from './wake.js';

const BENCHMARKS: readonly Benchmark[] = [
  turn,
  firstByte,
  wake,
  cancel,
  history,
  throughput,
  sleepers,
  httpAccept,
  firstSse,
  delta,
  fanout,
  projection,
];
const USAGE = `Usage: npm run bench [-- --json FILE] [--only NAME] [--scale N] [--profile DIR]
  --json FILE   writes { "name": { "metric": number } }
  --only NAME   one of: ${BENCHMARKS.map(({ name }) => name).join(', ')}; may be repeated
  --scale N     0.1: a tenth of the samples, for a quick look; default 1
  --profile DIR the worker writes its CPU profiles there`;

type Figures = Record<string, Readonly<Record<string, number>>>;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Options {
  readonly jsonFile: string | undefined;
  readonly chosen: readonly Benchmark[];
  readonly scale: number;
  readonly profileDir: string | undefined;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      only: { type: 'string', multiple: true },
      scale: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const only = values.only ?? BENCHMARKS.map(({ name }) => name);
  const unknown = only.filter((name) => !BENCHMARKS.some((benchmark) => benchmark.name === name));
  if (unknown.length > 0) throw new Error(`There is no benchmark ${unknown.join(', ')}.`);
  const scale = Number(values.scale ?? 1);
  if (!(scale > 0 && scale <= 10)) throw new Error('--scale must be a number above 0, at most 10.');
  const profileDir = values.profile === undefined ? undefined : resolve(values.profile);
  return { jsonFile: values.json, chosen: BENCHMARKS.filter(({ name }) => only.includes(name)), scale, profileDir };
}

async function main(): Promise<void> {
  const { jsonFile, chosen, scale, profileDir } = readOptions();
  const about = describeMachine();
  for (const line of about) say(line);
  const figures: Figures = {};
  for (const benchmark of chosen) {
    say(`\n${benchmark.name}: ${benchmark.title}`);
    figures[benchmark.name] = await benchmark.run({ scale, profileDir, say: (line) => say(`  ${line}`) });
    say(`  ${describeLoad()}`);
    if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(rounded(figures), null, 2)}\n`);
  }
  say('');
  for (const line of about) say(line);
  if (scale !== 1) say(`scale    ${scale}: a quick look, not the published sizes`);
  for (const line of tableOf(chosen, figures)) say(line);
}

function tableOf(chosen: readonly Benchmark[], figures: Figures): string[] {
  return chosen.flatMap(({ name, targets }) =>
    Object.entries(figures[name] ?? {}).map(([metric, value]) => {
      const target = targets[metric];
      const bound = target === undefined ? '' : 'max' in target ? `at most ${target.max}` : `at least ${target.min}`;
      const verdict = target === undefined ? '' : isMet(target, value) ? 'met' : 'MISSED';
      return `${name.padEnd(12)} ${metric.padEnd(16)} ${value.toFixed(3).padStart(12)}  ${bound.padEnd(16)} ${verdict}`.trimEnd();
    }),
  );
}

function rounded(figures: Figures): Figures {
  return Object.fromEntries(
    Object.entries(figures).map(([name, metrics]) => [
      name,
      Object.fromEntries(Object.entries(metrics).map(([metric, value]) => [metric, Number(value.toFixed(3))])),
    ]),
  );
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    say('\nInterrupted: stopping what was started …');
    void stopAllRigs().then(() => process.exit(130));
  });
}

main().catch(async (error: unknown) => {
  await stopAllRigs();
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${message}\n\n${USAGE}\n`);
  process.exit(1); // Whatever is still open belongs to what failed.
});
