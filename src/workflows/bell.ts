/** What wakes the lane's loop: everything that happens rings, the loop looks at everything whenever it rang. */
export interface Bell {
  readonly rings: number;
  ring(): void;
}

export function createBell(): Bell {
  let rings = 0;
  return {
    get rings() {
      return rings;
    },
    ring() {
      rings += 1;
    },
  };
}
