/** Tables stay within the width they are given, and lose no column. */
import { describe, expect, it } from 'vitest';
import { formatFields, formatTable, outputColumns, showInstant, type Column } from '../../../src/cli/table.js';

interface Row {
  readonly id: string;
  readonly count: number;
  readonly text: string;
}
const columns: readonly Column<Row>[] = [
  { title: 'ID', show: (row) => row.id },
  { title: 'N', align: 'right', show: (row) => String(row.count) },
  { title: 'TEXT', show: (row) => row.text },
];

describe('formatTable', () => {
  it('is as narrow as its content, numbers to the right', () => {
    const rows = [
      { id: 'ada', count: 7, text: 'hi' },
      { id: 'bo', count: 12, text: 'hello' },
    ];
    expect(formatTable(rows, columns, 60)).toBe('ID    N  TEXT\nada   7  hi\nbo   12  hello');
  });

  it('cuts the widest column first, in one line, at 60 columns', () => {
    const rows = [{ id: 'x'.repeat(40), count: 1, text: `first\nsecond ${'é🙂'.repeat(60)}` }];
    const lines = formatTable(rows, columns, 60).split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect([...line].length).toBeLessThanOrEqual(60);
    expect(lines[1]).toMatch(/^x+….* 1  first second .*…$/u);
  });

  it('prints the titles of an empty table', () => {
    expect(formatTable([], columns, 60)).toBe('ID  N  TEXT');
  });
});

describe('outputColumns', () => {
  it('is never below 60', () => {
    expect(outputColumns({ columns: 40 })).toBe(60);
    expect(outputColumns({ columns: 133 })).toBe(133);
    expect(outputColumns({})).toBe(100);
  });
});

describe('fields and instants', () => {
  it('align and read well', () => {
    expect(
      formatFields([
        ['a', '1'],
        ['long', '2'],
      ]),
    ).toBe('a     1\nlong  2');
    expect(showInstant('2026-03-01T12:03:07.123Z')).toBe('2026-03-01 12:03:07');
    expect(showInstant(null)).toBe('-');
  });
});
