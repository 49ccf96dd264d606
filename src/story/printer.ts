/** Tells the story to whoever watches: each step as it goes, and a table at the end. Readable from 60 columns on. */
import type { Finding, StepListener, StepResult } from './step.js';

const COLUMNS_MIN = 60;
const COLUMNS_MAX = 100;
const EVIDENCE_CHARACTERS_MAX = 600;
/** Checks, time and result, with the gaps before them. */
const TABLE_FIGURE_COLUMNS = 23;

export interface Output {
  write(text: string): unknown;
  readonly columns?: number;
}

export interface Printer extends StepListener {
  title(text: string): void;
  table(results: readonly StepResult[]): void;
}

export function createPrinter(output: Output): Printer {
  const width = Math.min(Math.max(output.columns ?? COLUMNS_MIN, COLUMNS_MIN), COLUMNS_MAX);
  const line = (text: string): void => void output.write(`${text}\n`);
  const entry = (mark: string, text: string): void =>
    wrap(text, width - 5).forEach((part, index) => {
      line(`   ${index === 0 ? mark : ' '} ${part}`);
    });
  return {
    title: (text) => wrap(text, width).forEach(line),
    onStart: ({ number, title }) => line(`\n${number}  ${title}`),
    onShow: (text) => line(`   ${cut(text, width - 3)}`),
    onFinding(finding) {
      entry(finding.holds ? '✓' : '✗', finding.claim);
      if (!finding.holds) entry(' ', `${finding.source}: ${evidenceOf(finding)}`);
    },
    onNote: (text) => entry('·', text),
    onEnd(result) {
      if (result.error !== null) entry('✗', result.error);
    },
    table(results) {
      line('');
      const titleWidth = width - TABLE_FIGURE_COLUMNS;
      line(`${'step'.padEnd(titleWidth)}  ${'checks'.padStart(6)} ${'time'.padStart(6)}`);
      for (const result of results) {
        const held = result.findings.filter(({ holds }) => holds).length;
        const name = cut(`${result.number} ${result.title}`, titleWidth).padEnd(titleWidth);
        const checks = `${held}/${result.findings.length}`.padStart(6);
        const time = `${(result.durationMs / 1_000).toFixed(1)} s`.padStart(6);
        line(`${name}  ${checks} ${time}  ${result.passed ? 'ok' : 'FAILED'}`);
      }
      line('');
    },
  };
}

function evidenceOf({ evidence }: Finding): string {
  return cut(JSON.stringify(evidence) ?? 'nothing', EVIDENCE_CHARACTERS_MAX);
}

function cut(text: string, max: number): string {
  const characters = [...text];
  return characters.length <= max ? text : `${characters.slice(0, max - 1).join('')}…`;
}

/** Lines of at most `width` characters, broken at spaces; a word that is longer is broken anywhere. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of text.split(/\s+/)) {
    let rest = word;
    if (current !== '' && current.length + 1 + rest.length > width) {
      lines.push(current);
      current = '';
    }
    for (; rest.length > width; rest = rest.slice(width)) lines.push(rest.slice(0, width));
    current = current === '' ? rest : `${current} ${rest}`;
  }
  return [...lines, current];
}
