/** Goal: however often an answer is begun anew, its reader ends with it once and whole. Method: tries made up at random. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ToldText, type Telling } from '../../../src/gateway/told-text.js';
import { runs } from '../../support/properties.js';

/** A reader: what of it is not void. */
function createReader(): { read(telling: Telling): void; text: string; voids: number } {
  const reader = {
    text: '',
    voids: 0,
    read({ isVoid, more }: Telling) {
      if (isVoid) reader.voids += 1;
      reader.text = (isVoid ? '' : reader.text) + more;
    },
  };
  return reader;
}

const piece = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 });
const action = fc.oneof(
  fc.record({ kind: fc.constant('hear' as const), text: piece }),
  fc.record({ kind: fc.constantFrom('restart' as const, 'lose' as const), text: fc.constant('') }),
);

describe('a text that is told while it is made', () => {
  it('is in the end the whole text, whatever was heard before', () => {
    fc.assert(
      fc.property(fc.array(action), fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 }), (actions, whole) => {
        const told = new ToldText();
        const reader = createReader();
        for (const { kind, text } of actions) {
          if (kind === 'hear') reader.read(told.hear(text));
          else told[kind]();
        }
        reader.read(told.settle(whole));
        expect(reader.text).toBe(whole);
      }),
      runs(2_000),
    );
  });

  it('that is said again is not told again', () => {
    const told = new ToldText();
    const reader = createReader();
    for (const text of ['Once ', 'upon']) reader.read(told.hear(text));
    told.restart();
    for (const text of ['On', 'ce up', 'on a', ' time']) reader.read(told.hear(text));
    reader.read(told.settle('Once upon a time'));
    expect(reader).toMatchObject({ text: 'Once upon a time', voids: 0 });
  });

  it('makes void what was told as soon as it says something else', () => {
    const told = new ToldText();
    expect(told.hear('Once upon')).toEqual({ isVoid: false, more: 'Once upon' });
    told.restart();
    expect(told.hear('Once ')).toEqual({ isVoid: false, more: '' });
    expect(told.hear('more')).toEqual({ isVoid: true, more: 'Once more' });
  });

  it('is not told on behind a gap, and completed at its end', () => {
    const told = new ToldText();
    told.hear('Once ');
    told.lose();
    expect(told.hear('time')).toEqual({ isVoid: false, more: '' });
    expect(told.settle('Once upon a time')).toEqual({ isVoid: false, more: 'upon a time' });
  });
});
