/**
 * The little formatting of an answer that is shown as such: fenced code, lists, headings, inline code, bold. Text in, a tree of plain
 * strings out: no HTML, no links, nothing that a browser would act on. What is not understood stays as it was written. Answers are
 * hostile: each line is looked at by its beginning only, so that no pattern can be made to try for long.
 */

export interface Span {
  readonly kind: 'text' | 'code' | 'bold';
  readonly text: string;
}

export type FormattedBlock =
  | { readonly kind: 'paragraph' | 'heading'; readonly spans: readonly Span[] }
  /** `start`: the first number; null: it has bullets. */
  | { readonly kind: 'list'; readonly start: number | null; readonly items: readonly (readonly Span[])[] }
  | { readonly kind: 'code'; readonly language: string; readonly text: string };

type Line =
  | { readonly kind: 'blank' | 'plain' | 'heading'; readonly text: string }
  | { readonly kind: 'item'; readonly text: string; readonly number: number | null }
  | { readonly kind: 'fence'; readonly text: string; readonly fence: string; readonly language: string };

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]{0,30})/;
const HEADING = /^ {0,3}#{1,6}[ \t]+/;
const ITEM = /^[ \t]{0,8}(?:[-*+]|(\d{1,9})[.)])[ \t]+/;
const SPAN = /`([^`\n]+)`|\*\*([^*\n]+)\*\*/g;

export function toFormatted(text: string): FormattedBlock[] {
  const lines = text.split('\n');
  const blocks: FormattedBlock[] = [];
  let at = 0;

  /** Lines from here on, while they are of a kind. */
  function takeWhile(isTaken: (line: string) => boolean): string[] {
    const from = at;
    while (at < lines.length && isTaken(lines[at] ?? '')) at += 1;
    return lines.slice(from, at);
  }

  while (at < lines.length) {
    const line = toLine(lines[at] ?? '');
    switch (line.kind) {
      case 'blank':
        at += 1;
        break;
      case 'heading':
        at += 1;
        blocks.push({ kind: 'heading', spans: toSpans(line.text) });
        break;
      case 'plain':
        blocks.push({
          kind: 'paragraph',
          spans: toSpans(takeWhile((each) => toLine(each).kind === 'plain').join('\n')),
        });
        break;
      case 'item': {
        const items = takeWhile((each) => isItemLike(toLine(each), line.number !== null));
        blocks.push({ kind: 'list', start: line.number, items: items.map((each) => toSpans(toLine(each).text)) });
        break;
      }
      case 'fence': {
        at += 1;
        const code = takeWhile((each) => !closes(each, line.fence));
        at += 1; // One that is not closed yet reaches to the end.
        blocks.push({ kind: 'code', language: line.language, text: code.join('\n') });
      }
    }
  }
  return blocks;
}

function toLine(line: string): Line {
  if (line.trim() === '') return { kind: 'blank', text: '' };
  const fenced = FENCE.exec(line);
  // Three backticks around a word are inline code.
  if (fenced !== null && !line.slice(fenced[0].length).includes('`')) {
    return { kind: 'fence', text: '', fence: fenced[1] ?? '', language: fenced[2] ?? '' };
  }
  const heading = HEADING.exec(line);
  if (heading !== null) return { kind: 'heading', text: line.slice(heading[0].length) };
  const item = ITEM.exec(line);
  if (item === null) return { kind: 'plain', text: line };
  return { kind: 'item', text: line.slice(item[0].length), number: item[1] === undefined ? null : Number(item[1]) };
}

function isItemLike(line: Line, isNumbered: boolean): boolean {
  return line.kind === 'item' && (line.number !== null) === isNumbered;
}

function closes(line: string, fence: string): boolean {
  const trimmed = line.trim();
  return trimmed.length >= fence.length && trimmed === fence.charAt(0).repeat(trimmed.length);
}

function toSpans(text: string): Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (const match of text.matchAll(SPAN)) {
    if (match.index > from) spans.push({ kind: 'text', text: text.slice(from, match.index) });
    const [whole, code, bold = ''] = match;
    spans.push(code === undefined ? { kind: 'bold', text: bold } : { kind: 'code', text: code });
    from = match.index + whole.length;
  }
  if (from < text.length) spans.push({ kind: 'text', text: text.slice(from) });
  return spans;
}
