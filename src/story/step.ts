/** What a step of the story is, and what it leaves behind: claims, each with the record that was asked and what it said. */

/** The outside records. The system's own word counts nowhere. */
export type Source = 'provider' | 'guest' | 'postgres' | 'client' | 'host';

export interface Finding {
  readonly claim: string;
  readonly source: Source;
  readonly holds: boolean;
  /** Small JSON: what the record said. Never a secret. */
  readonly evidence: unknown;
}

export interface Journal {
  /** Writes down a claim and whether the record bears it out. */
  check(claim: string, source: Source, holds: boolean, evidence: unknown): void;
  /** Something a reader should know that is no claim, such as a tool that this computer lacks. */
  note(text: string): void;
  /** What is going on, for whoever watches. */
  show(text: string): void;
}

export interface Step<Context> {
  readonly number: number;
  readonly title: string;
  run(story: Context, journal: Journal): Promise<void>;
}

export interface StepResult {
  readonly number: number;
  readonly title: string;
  readonly passed: boolean;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
  /** Why it could not be told to its end; null where it was. */
  readonly error: string | null;
}

export interface StepListener {
  onStart(step: { readonly number: number; readonly title: string }): void;
  onShow(text: string): void;
  onFinding(finding: Finding): void;
  onNote(text: string): void;
  onEnd(result: StepResult): void;
}

/** Runs one step. Never rejects: what goes wrong is the step's error. A step without findings has shown nothing, and fails. */
export async function runStep<Context>(
  step: Step<Context>,
  story: Context,
  listener: StepListener,
): Promise<StepResult> {
  const findings: Finding[] = [];
  const notes: string[] = [];
  const started = new Date();
  const journal: Journal = {
    check(claim, source, holds, evidence) {
      const finding = { claim, source, holds, evidence };
      findings.push(finding);
      listener.onFinding(finding);
    },
    note(text) {
      notes.push(text);
      listener.onNote(text);
    },
    show: (text) => listener.onShow(text),
  };
  listener.onStart(step);
  let error: string | null = null;
  try {
    await step.run(story, journal);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  const { number, title } = step;
  const result = {
    number,
    title,
    passed: error === null && findings.length > 0 && findings.every(({ holds }) => holds),
    startedAt: started.toISOString(),
    durationMs: Date.now() - started.getTime(),
    findings,
    notes,
    error,
  };
  listener.onEnd(result);
  return result;
}
