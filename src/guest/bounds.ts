/** Bounds of the guest protocol, each with its reason. */

/** Between INT, TERM and KILL: what a well-behaved program needs to put its files in order. */
export const TERM_GRACE_MS_DEFAULT = 5_000;
/** A request without any answer is sent again after this, then at twice the time: a lost line costs this much. */
export const RESEND_FIRST_MS = 400;
/** While a command runs it is asked about after this, then more and more rarely: a lost push costs this much. */
export const ASK_FIRST_MS = 1_000;
export const ASK_MAX_MS = 10_000;
/** An open terminal on which nothing is heard for this long, though asked, is broken. */
export const SILENCE_MAX_MS = 8_000;
/** The first word of a new terminal: the shell may have to read a long start-up file first. */
export const HELLO_RESEND_MS = 2_500;
export const HELLO_MAX_MS = 10_000;
/** The serving loop ends by itself when nobody has spoken to it for this long; far beyond the idle time of a lane. */
export const SERVE_IDLE_SECONDS = 3_600;
/** How long an execution waits on the machine for the command's end before it answers "running". */
export const EXECUTION_WAITS_MS: readonly number[] = [1_000, 2_000, 5_000, 10_000];
/** What an execution may take beyond its own waiting. */
export const EXECUTION_MARGIN_MS = 30_000;
/** Until a person's shell has come up, start-up files included, and what it may print by then. */
export const PERSON_HELLO_MS_MAX = 15_000;
export const PERSON_HELLO_BYTES_MAX = 256 * 1024;
/** Its end takes HUP, TERM and KILL with a second between them. */
export const PERSON_LEAVE_MS_MAX = 8_000;
