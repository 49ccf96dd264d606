/** The outside log of a run: what clients were told and what was struck, each by the clock of this computer. */
import { appendFileSync } from 'node:fs';
import type { PlannedFault } from './plan/plan.js';

/** A turn that a client was told is taken. */
export interface Acknowledgement {
  readonly userId: string;
  readonly turnId: string;
  readonly atMs: number;
}

/** A fault as it was carried out. */
export interface Strike {
  readonly fault: PlannedFault;
  /** Nobody: everybody was struck. */
  readonly userId: string | undefined;
  readonly turnId: string | undefined;
  readonly atMs: number;
  /** When what was taken away was back. */
  readonly untilMs: number;
  /** Known at once: it landed where it does harm. undefined: the records say it afterwards. */
  readonly isEffective: boolean | undefined;
}

export interface RunJournal {
  readonly acknowledged: readonly Acknowledgement[];
  readonly strikes: readonly Strike[];
  /** Faults that found nothing to strike, with the reason. */
  readonly missed: readonly { readonly fault: PlannedFault; readonly why: string }[];
  /** What a client met and could not make sense of. */
  readonly complaints: readonly string[];
  acknowledge(turn: { readonly userId: string; readonly turnId: string }): void;
  struck(strike: Strike): void;
  miss(fault: PlannedFault, why: string): void;
  complain(text: string): void;
}

/** @param file every line of it is one JSON object, written at once */
export function openJournal(file: string): RunJournal {
  const acknowledged: Acknowledgement[] = [];
  const strikes: Strike[] = [];
  const missed: { fault: PlannedFault; why: string }[] = [];
  const complaints: string[] = [];
  const write = (kind: string, entry: object): void => appendFileSync(file, `${JSON.stringify({ kind, ...entry })}\n`);
  return {
    acknowledged,
    strikes,
    missed,
    complaints,
    acknowledge({ userId, turnId }) {
      const entry = { userId, turnId, atMs: Date.now() };
      write('acknowledged', entry);
      acknowledged.push(entry);
    },
    struck(strike) {
      write('struck', strike);
      strikes.push(strike);
    },
    miss(fault, why) {
      write('missed', { fault, why });
      missed.push({ fault, why });
    },
    complain(text) {
      write('complaint', { text });
      complaints.push(text);
    },
  };
}
