/** What docs/clients.md shows is what is tested: its code blocks, by the heading above them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../../src/dev/paths.js';

const HEADING = /^#{2,4} (.+)$/;
const FENCE = /^```(\w*)$/;

/** The code blocks of one language below a heading, in their order. @throws Error where there is none */
export function snippetsOf(heading: string, language: string): string[] {
  const found: string[] = [];
  let isHere = false;
  let block: { readonly language: string; readonly lines: string[] } | undefined;
  for (const line of readFileSync(join(PROJECT_ROOT, 'docs', 'clients.md'), 'utf8').split('\n')) {
    const fence = FENCE.exec(line);
    if (fence !== null && block !== undefined) {
      if (isHere && block.language === language) found.push(`${block.lines.join('\n')}\n`);
      block = undefined;
    } else if (fence !== null) block = { language: fence[1] ?? '', lines: [] };
    else if (block !== undefined) block.lines.push(line);
    else {
      const title = HEADING.exec(line)?.[1];
      if (title !== undefined) isHere = title === heading;
    }
  }
  if (found.length === 0) throw new Error(`docs/clients.md has no ${language} below "${heading}".`);
  return found;
}
