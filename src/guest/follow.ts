/**
 * One question over a terminal that may lose, double, tear and delay anything: asked until it is answered. The answers are pushed
 * by the machine; asking again, at growing intervals, only repairs what was lost.
 */
import { InnkeeperError } from '../contracts/errors.js';
import { ASK_FIRST_MS, ASK_MAX_MS, RESEND_FIRST_MS, SILENCE_MAX_MS } from './bounds.js';
import { toFinalStatus, toRefusal, type FinalStatus } from './records.js';
import type { TerminalChannel } from './terminal-channel.js';
import type { Frame } from './wire.js';

/** Times that an output may arrive other than it is stored before the channel counts as broken. */
const DAMAGED_MAX = 4;

/** Kinds that answer a repair. */
const REPAIR_ANSWERS: Readonly<Record<string, 'result' | 'void'>> = { result: 'result', void: 'void' };

export interface Question {
  /** Journal name of the command. */
  readonly name: string;
  /** Sent first, and until something is heard: may be sent any number of times. */
  opening(): Buffer;
  /** Sent when nothing was heard for a while. */
  reminder(): Buffer;
  /** Asks for the record again in a form that survives terminals that change bytes. */
  readonly repair: Buffer;
  /** Frame kinds, and what record each carries, that answer the question. */
  readonly answers: Readonly<Record<string, 'result' | 'void'>>;
  readonly signal: AbortSignal;
  /** False: part of what the machine pushed was lost. */
  onRunning?(frame: Frame): boolean;
}

/** The machine names the kind: a name that every object has is not one of ours. */
function find(answers: Question['answers'], kind: string): 'result' | 'void' | undefined {
  return Object.hasOwn(answers, kind) ? answers[kind] : undefined;
}

/** Resolves with the final status. @throws the channel's failure, a refusal, the signal's reason */
export function follow(channel: TerminalChannel, question: Question): Promise<FinalStatus> {
  return new Promise((resolve, reject) => {
    let isHeard = false;
    let delayMs = RESEND_FIRST_MS;
    let damaged = 0;
    let askedAtMs: number | undefined;
    let timer: NodeJS.Timeout | undefined;

    function settle(): void {
      clearTimeout(timer);
      unlisten();
      question.signal.removeEventListener('abort', onAbort);
    }
    function onAbort(): void {
      settle();
      reject(question.signal.reason as Error);
    }
    function fail(error: InnkeeperError): void {
      settle();
      reject(error);
    }
    function ask(line: Buffer): void {
      askedAtMs ??= performance.now();
      channel.send(line);
    }
    function plan(): void {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const silentSinceMs = Math.max(askedAtMs ?? Infinity, channel.heardAtMs);
        if (askedAtMs !== undefined && performance.now() - silentSinceMs > SILENCE_MAX_MS) {
          void channel.break(new InnkeeperError('GUEST_UNREACHABLE', 'The machine does not answer on its terminal.'));
          return;
        }
        ask(isHeard ? question.reminder() : question.opening());
        delayMs = Math.min(ASK_MAX_MS, delayMs * 2);
        plan();
      }, delayMs);
    }
    function onFrame(frame: Frame | undefined): void {
      if (frame === undefined) return fail(channel.failure as InnkeeperError);
      if (frame.name !== question.name) return;
      askedAtMs = undefined;
      if (frame.kind === 'refused') {
        const refusal = toRefusal(frame);
        fail(refusal);
        if (refusal.code === 'ATTACHMENT_FENCED') void channel.break(refusal);
        return;
      }
      if (frame.kind === 'absent') {
        isHeard = false;
        delayMs = RESEND_FIRST_MS;
        ask(question.opening());
        return plan();
      }
      const record = find(question.answers, frame.kind) ?? (damaged > 0 ? find(REPAIR_ANSWERS, frame.kind) : undefined);
      if (record === undefined) {
        if (!isHeard) delayMs = ASK_FIRST_MS;
        isHeard = true;
        if (frame.kind === 'running' && question.onRunning?.(frame) === false) ask(question.reminder());
        return plan();
      }
      const status = toFinalStatus(frame, record);
      if (status !== 'damaged') {
        settle();
        return resolve(status);
      }
      damaged += 1;
      if (damaged > DAMAGED_MAX) {
        void channel.break(new InnkeeperError('GUEST_UNREACHABLE', 'The terminal damages what crosses it.'));
        return;
      }
      ask(question.repair);
    }

    const unlisten = channel.listen(onFrame);
    if (question.signal.aborted) return onAbort();
    question.signal.addEventListener('abort', onAbort);
    if (channel.failure !== undefined) return fail(channel.failure);
    ask(question.opening());
    plan();
  });
}
