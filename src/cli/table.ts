/** Tables for people: as narrow as their content, and never wider than the terminal. No library, because this is all of it. */

/** Width where the output is not a terminal, and the narrowest that is asked for. */
const COLUMNS_DEFAULT = 100;
const COLUMNS_MIN = 60;
const GAP = 2;
const CELL_MIN = 6;

export interface Column<T> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly show: (row: T) => string;
}

/** The width to print for. */
export function outputColumns(stream: { readonly columns?: number }): number {
  return Math.max(stream.columns ?? COLUMNS_DEFAULT, COLUMNS_MIN);
}

/** Lines of a table; where it is too wide, the widest columns give way first, with an ellipsis. */
export function formatTable<T>(rows: readonly T[], columns: readonly Column<T>[], maxColumns: number): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ show }) => oneLine(show(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => [...(line[index] ?? '')].length)));
  const room = maxColumns - GAP * (columns.length - 1);
  while (sum(widths) > room && Math.max(...widths) > CELL_MIN) widths[widths.indexOf(Math.max(...widths))]! -= 1;
  return cells
    .map((line) =>
      line
        .map((cell, index) => fit(cell, widths[index] ?? 0, columns[index]?.align ?? 'left'))
        .join(' '.repeat(GAP))
        .trimEnd(),
    )
    .join('\n');
}

/** `name  value` lines, the names in one column. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

/** An instant as people compare it: `2026-03-01 12:03:07`, UTC; `-` for none. */
export function showInstant(iso: string | null): string {
  return iso === null ? '-' : iso.slice(0, 19).replace('T', ' ');
}

function fit(text: string, width: number, align: 'left' | 'right'): string {
  const characters = [...text];
  const cut = characters.length > width ? `${characters.slice(0, width - 1).join('')}…` : text;
  const padding = ' '.repeat(width - [...cut].length);
  return align === 'left' ? cut + padding : padding + cut;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
