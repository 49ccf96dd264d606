/** Sizes as people read them: `0 B`, `912 B`, `1.4 KiB`, `20 MiB`. */

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'];

export function showBytes(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  let rest = bytes / 1_024;
  let unit = 0;
  // What would be rounded to 1,024 is one of the next.
  while (rest >= 1_023.5 && unit < UNITS.length - 1) {
    rest /= 1_024;
    unit += 1;
  }
  return `${rest < 9.95 ? rest.toFixed(1) : rest.toFixed(0)} ${UNITS[unit] ?? ''}`;
}
