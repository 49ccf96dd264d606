/** One check of one promise: what was looked at, and what was found that breaks it. */
export interface Check {
  /** `P1` … `P13`, or a name of its own. */
  readonly name: string;
  readonly promise: string;
  /** How many things were looked at: none proves nothing, but for what a plan need not hold. */
  readonly looked: number;
  readonly violations: readonly string[];
}

/** Checks of what some plans do not hold. */
const MAY_BE_EMPTY = new Set(['P9']);

export function isKept({ name, looked, violations }: Check): boolean {
  return (looked > 0 || MAY_BE_EMPTY.has(name)) && violations.length === 0;
}
