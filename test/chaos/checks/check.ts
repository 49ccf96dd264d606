/** One check of one promise: what was looked at, and what was found that breaks it. */
export interface Check {
  /** `P1` … `P13`, or a name of its own. */
  readonly name: string;
  readonly promise: string;
  /** How many things were looked at: none proves nothing. */
  readonly looked: number;
  readonly violations: readonly string[];
}

export function isKept({ looked, violations }: Check): boolean {
  return looked > 0 && violations.length === 0;
}
