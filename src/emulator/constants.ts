/** Every bound and default of the emulator, with its unit. Vendor limits are marked; the rest is our own choice. */

/** Vendor: memory ceiling of the production fleet. */
export const MEMORY_MIB_MAX = 129_024;
export const VCPU_MAX = 64;
export const VCPU_STEP = 0.25;
export const STORAGE_GIB_MAX = 2_048;
/** Vendor: upper bound of `autosleep_seconds`. */
export const AUTOSLEEP_SECONDS_MAX = 9_223_372_036;
/** Vendor: idle time before a machine goes to sleep by itself. */
export const AUTOSLEEP_SECONDS_DEFAULT = 300;
/** Vendor (g6): sizes of a machine created without any. */
export const G6_DEFAULT_VCPU = 1;
export const G6_DEFAULT_MEMORY_MIB = 4_096;
export const G6_DEFAULT_STORAGE_GIB = 10;

export const PAGE_LIMIT_DEFAULT = 50;
export const PAGE_LIMIT_MAX = 100;
export const REQUEST_BODY_BYTES_MAX = 8 * 1024 * 1024;
export const IDEMPOTENCY_KEY_CHARS_MAX = 255;
/** Oldest keys are forgotten beyond this count. */
export const IDEMPOTENCY_KEYS_KEPT_MAX = 50_000;
/** Vendor: retry hint while the first request with a key is still in flight. */
export const IDEMPOTENCY_RETRY_AFTER_MS = 250;
/** Vendor: retry hint of a terminal that is not ready. */
export const TERMINAL_RETRY_AFTER_MS = 1_000;
export const WAKE_RETRY_AFTER_MS = 100;

export const COMMAND_WORDS_MAX = 1_024;
export const COMMAND_BYTES_MAX = 128 * 1024;
export const ENV_ENTRIES_MAX = 256;
export const EXECUTION_TIMEOUT_MS_DEFAULT = 10 * 60 * 1_000;
export const EXECUTION_TIMEOUT_MS_MAX = 24 * 60 * 60 * 1_000;
/** Kept from the start of each stream; the rest is counted and dropped. */
export const EXECUTION_OUTPUT_BYTES_MAX = 1024 * 1024;
/** Output of one stream that arrives in one piece is merged up to this size. */
export const EXECUTION_CHUNK_CHARS_MAX = 64 * 1024;
/** Output up to this size is kept in the state journal, larger output in a file. */
export const EXECUTION_INLINE_CHARS_MAX = 16 * 1024;
export const EXECUTIONS_KEPT_PER_MACHINE_MAX = 500;
/** Pipes that outlive a killed command are closed after this long. */
export const EXECUTION_KILL_GRACE_MS = 200;
export const CHANNELS_PER_MACHINE_MAX = 200;

export const TERMINAL_COLUMNS_MAX = 1_000;
export const TERMINAL_ROWS_MAX = 1_000;
/** Output kept for the next reader while nobody is attached. */
export const TERMINAL_BACKLOG_BYTES_MAX = 256 * 1024;
/** The guest's terminal is paused above the first figure and resumed below the second. */
export const TERMINAL_SOCKET_HIGH_BYTES = 1024 * 1024;
export const TERMINAL_SOCKET_LOW_BYTES = 256 * 1024;
export const TERMINAL_FRAME_BYTES_MAX = 1024 * 1024;
export const TERMINALS_KEPT_PER_MACHINE_MAX = 100;

/** First uid given to guests when the emulator runs as root; each machine has its own. */
export const GUEST_UID_FIRST = 310_000;
export const GUEST_UID_COUNT = 60_000;
export const SANDBOX_BOOT_TIMEOUT_MS = 10_000;
export const SANDBOX_EXIT_TIMEOUT_MS = 3_000;
export const SANDBOX_STDERR_BYTES_MAX = 8 * 1024;
export const BOOTS_AT_ONCE_MAX = 4;
/** Homes above this size are not copied at sleep, so cannot be rolled back. */
export const SNAPSHOT_KIB_MAX = 64 * 1024;

export const STATE_COMPACTION_BYTES = 64 * 1024 * 1024;
export const LEDGER_PAGE_MAX = 100_000;
export const TIMER_MS_MAX = 2 ** 31 - 1;
/** Furthest that the clock may be moved at once (a century), and at all: half of what a date can hold. */
export const CLOCK_ADVANCE_MS_MAX = 100 * 366 * 24 * 3_600_000;
export const CLOCK_MS_MAX = 4_320_000_000_000_000;

/** Where a machine keeps what survives a cold sleep. */
export const GUEST_HOME = '/home/machine';
