/** Sizes as people read them. */
import { expect, it } from 'vitest';
import { showBytes } from '../../../web/text/sizes.js';

it.each([
  [0, '0 B'],
  [1_023, '1023 B'],
  [1_024, '1.0 KiB'],
  [1_500, '1.5 KiB'],
  [10_240, '10 KiB'],
  [1_048_575, '1.0 MiB'],
  [20 * 1_048_576, '20 MiB'],
  [3 * 2 ** 40, '3.0 TiB'],
])('%d is shown as %s', (bytes, shown) => {
  expect(showBytes(bytes)).toBe(shown);
});
