/** Every bound of the system, its unit in its name. Defaults that a deployment may change are read by config.ts. */

/** A user or turn id: 1 to this many bytes of UTF-8. */
export const ID_BYTES_MAX = 128;
/** A prompt as admitted by the client library or the gateway. */
export const PROMPT_BYTES_MAX = 64 * 1024;
/** A prompt that rides in an `enqueueTurn` signal: it enters Temporal's history, so it is kept small. */
export const SIGNAL_PROMPT_BYTES_MAX = 16 * 1024;
/** Prompts from signals that a lane keeps while Postgres is away. */
export const HELD_PROMPTS_MAX = 20;
/** Rejected signals that a lane keeps until they are recorded. */
export const HELD_REJECTIONS_MAX = 100;

/** Open turns of one user, the running one included. */
export const OPEN_TURNS_MAX_DEFAULT = 20;
/** Steps (model calls) of one turn. */
export const TURN_STEPS_MAX_DEFAULT = 50;
/** Wall time of one turn. */
export const TURN_WALL_MS_DEFAULT = 30 * 60_000;
/** Quiet time after which a machine is put to sleep. */
export const IDLE_MS_DEFAULT = 5 * 60_000;
/** A setting of idle time lies within these. */
export const IDLE_MS_MIN = 100;
export const IDLE_MS_MAX = 7 * 24 * 3_600_000;

/**
 * A lane continues as new at about this many events, some twenty turns. Where a worker dies, the next one replays every lane that was
 * awake on it: 0.8 s of processor time for each 1,000 events (measured, SDK 1.24).
 */
export const HISTORY_EVENTS_MAX = 500;
/** What it was before; runs that went past the bound of today by then are kept to it. */
export const HISTORY_EVENTS_MAX_BEFORE = 1_000;
/** Workflow tasks that a worker takes at once: replays of lanes at their longest, on a core that it shares with several others. */
export const WORKFLOW_TASKS_MAX = 6;
/** A reconcile, which is alone and short, continues as new at about this many. */
export const RECONCILE_EVENTS_MAX = 1_000;
/** First pause of a lane after an error that repeating at once would only repeat; later ones are longer. */
export const LANE_RETRY_MS = 1_000;

/** Heartbeat timeout of every activity but those of Postgres alone: a killed worker costs this much, then it is tried again. */
export const HEARTBEAT_TIMEOUT_MS = 5_000;

/** Tool calls the agent may ask for in one step; more are answered as refused. */
export const TOOL_CALLS_PER_STEP_MAX = 16;
/** Tool calls of one step that are kept at all; what an answer holds beyond is left out of the record. */
export const TOOL_CALLS_KEPT_MAX = 64;
/** Arguments of one tool call, as JSON text; below MODEL_ANSWER_BYTES_MAX, so that the model is told rather than cut short. */
export const TOOL_ARGUMENTS_BYTES_MAX = 128 * 1024;
/** A command's time limit: default and ceiling. The turn's own deadline ends it earlier. */
export const COMMAND_TIMEOUT_MS_DEFAULT = 120_000;
export const COMMAND_TIMEOUT_MS_MAX = 30 * 60_000;
/** Output kept of one command: this much of its beginning and this much of its end. */
export const COMMAND_OUTPUT_HEAD_BYTES = 64 * 1024;
export const COMMAND_OUTPUT_TAIL_BYTES = 64 * 1024;
/** Output of one tool call that the model is shown, head and tail together. */
export const MODEL_OUTPUT_BYTES_MAX = 30 * 1024;
/** Everything sent to the model in one call. */
export const MODEL_CONTEXT_BYTES_MAX_DEFAULT = 256 * 1024;
/** One answer of the model. */
export const MODEL_ANSWER_BYTES_MAX = 256 * 1024;

/**
 * Live text is told in batches of about so long or so many bytes; the pieces of an answer come some 20 to 100 times a second. A batch
 * fits a notice of Postgres (8,000 bytes) unless its JSON is much longer than its text.
 */
export const LIVE_BATCH_MS = 30;
export const LIVE_BATCH_BYTES = 4 * 1024;
/** While Postgres is away. */
export const LIVE_RETRY_MS = 1_000;
/** Events of a user that a process keeps for its followers; who is further behind reads them from Postgres, so many at a time. */
export const FEED_EVENTS_MAX = 256;
export const FEED_PAGE_EVENTS = 100;
/** What is kept of a part's live text, as JSON; a follower that lacks more is told so, and waits for the part's event. */
export const FEED_PART_BYTES_MAX = 2 * 1024 * 1024;
/** Beneath the notices, in case one is lost. */
export const FEED_LOOK_MS = 30_000;
/** Output of one command that is shown as it comes: so much of its beginning. */
export const LIVE_OUTPUT_BYTES_MAX = 1024 * 1024;

/** Terminal size, columns x rows. */
export const TERMINAL_COLUMNS = 100;
export const TERMINAL_ROWS = 30;

/** The largest that a person's may be. */
export const TERMINAL_COLUMNS_MAX = 500;
export const TERMINAL_ROWS_MAX = 300;
/** One frame from a person: a longer one closes the socket. */
export const TERMINAL_FRAME_BYTES_MAX = 64 * 1024;
export const TERMINAL_CONTROL_BYTES_MAX = 1_024;
/** Bytes on their way to a person, or to their machine; then the other side waits. */
export const TERMINAL_UNSENT_BYTES_MAX = 256 * 1024;
/** What the page takes of a paste, and the frames that it sends it in. */
export const TERMINAL_PASTE_BYTES_MAX = 1024 * 1024;
export const TERMINAL_PASTE_FRAME_BYTES = 16 * 1024;
/** A connection that broke may come back to its shell for so long, while the agent waits. */
export const TERMINAL_GRACE_MS = 30_000;
/** A terminal into which nobody typed for so long is handed back. */
export const TERMINAL_QUIET_MS_MAX = 30 * 60_000;
/** Until a terminal has come up, and until one is left: its programs get HUP, TERM and KILL. */
export const TERMINAL_OPEN_MS_MAX = 60_000;
export const TERMINAL_LEAVE_MS_MAX = 8_000;
/** Terminals that one process keeps. */
export const TERMINALS_MAX = 500;

/** Size of a new machine. */
export const MACHINE_VCPU_DEFAULT = 1;
export const MACHINE_MEMORY_MIB_DEFAULT = 2_048;
export const MACHINE_STORAGE_GIB_DEFAULT = 10;

/** How long one creation may take. */
export const MACHINE_CREATE_TIMEOUT_MS_DEFAULT = 5 * 60_000;

/** How long `turnResult` waits when not told otherwise, and the period of the polling beneath its notification. */
export const TURN_RESULT_WAIT_MS_DEFAULT = 35 * 60_000;
export const TURN_RESULT_POLL_MS = 2_000;

/** Period of an activity's heartbeats; the SDK sends them on at most once in HEARTBEAT_THROTTLE_MS_MAX. */
export const HEARTBEAT_INTERVAL_MS = 1_000;
/** Well below the heartbeat timeout of a step, so that a busy worker is not taken for a dead one. */
export const HEARTBEAT_THROTTLE_MS_MAX = 2_000;
/** Attachments (open terminals) that one worker keeps; the one unused longest is closed first. */
export const ATTACHMENTS_MAX = 256;
/** One that nobody has used for this long is closed; above the default idle time, so that a lane's own sleep comes first. */
export const ATTACHMENT_IDLE_MS = 10 * 60_000;
/** Failures of the model at one step; then the turn fails with the model's code. */
export const MODEL_ATTEMPTS_MAX = 8;
/** The same where it last answered nothing. */
export const EMPTY_ANSWERS_MAX = 3;
/** Past turns whose text is read for the model's context. */
export const CONTEXT_TURNS_MAX = 200;
/** How long a client waits for Temporal to take a signal. */
export const SIGNAL_TIMEOUT_MS = 10_000;
/** How long the reconciler waits for a lane's word on itself. */
export const LANE_ANSWER_TIMEOUT_MS = 5_000;
/** Tries from which on a lane whose tasks fail is taken for one that cannot go on: the first few may be a deploy's, or a dying worker's. */
export const FAILED_TASK_TRIES_MAX = 3;
/** Bytes that one `read_file` answers. */
export const READ_FILE_BYTES_MAX = 128 * 1024;

/** Time between two reconciles. */
export const RECONCILE_INTERVAL_MS_DEFAULT = 5 * 60_000;
/** Temporal schedules nothing more often. */
export const RECONCILE_INTERVAL_MS_MIN = 1_000;
/** How long something must have stood still before the reconciler takes it for forgotten. */
export const RECONCILE_QUIET_MS_DEFAULT = 60_000;
/** How long an unknown machine is left alone, counted from when it was first seen: longer than any create may take. */
export const RECONCILE_GRACE_MS_DEFAULT = 30 * 60_000;
/** Machines that one page of the provider's list holds at most, and users that one page of the record does. */
export const RECONCILE_PAGE_MACHINES_MAX = 100;
export const RECONCILE_PAGE_USERS_MAX = 100;
/** Pages of a list that has no end: a provider that repeats itself must not keep a reconcile going for ever. */
export const RECONCILE_PAGES_MAX = 10_000;
/** Machines that one reconcile destroys at most: a mistake in the settings then shows before it has cost everything. */
export const RECONCILE_DESTROYS_MAX = 20;
/** Calls to the provider and to Temporal that one page makes side by side. */
export const RECONCILE_PARALLEL_MAX = 8;
/** Findings that a reconcile names in its answer; all of them are in Postgres. */
export const RECONCILE_REPORTED_MAX = 200;
/** One run of the reconciler, ms; past that it has lost its worker for good, and the next one begins anew. */
export const RECONCILE_RUN_MS_MAX = 3_600_000;
/** Findings that are over are kept for so long, and at most so many of them. */
export const FINDINGS_KEPT_MS_MAX = 30 * 24 * 3_600_000;
export const FINDINGS_KEPT_MAX = 10_000;

/** From the end of the gateway's work until connections are closed that are still open. */
export const CLOSE_MS_MAX = 5_000;
/** Body of a request to the gateway: a prompt at its longest, every byte escaped. */
export const REQUEST_BODY_BYTES_MAX = 512 * 1024;
/** The same of clients that send the conversation with every message: some hundred commands with their output. */
export const CONVERSATION_BODY_BYTES_MAX = 4 * 1024 * 1024;
/** End of a command's output that a client is shown which gets all of it anew with every piece. */
export const OUTPUT_TAIL_CHARACTERS_MAX = 8 * 1024;
/** How long a request may hold for a turn's result. */
export const RESULT_HOLD_SECONDS_MAX = 60;
/** How long a client of a chat protocol is held for its whole answer: Node's own fetch gives up after 300 s without an answer's head. */
export const ANSWER_HOLD_MS_MAX = 280_000;
/** How long a cancel over a chat protocol is held until the turn is over. */
export const CANCEL_HOLD_MS_MAX = 10_000;
/** A client's own retry finds the turn of the same request again that ended so long ago at most. */
export const RETRY_JOINS_MS_MAX = 10 * 60_000;
/** Items of one page. */
export const PAGE_ITEMS_DEFAULT = 50;
export const PAGE_ITEMS_MAX = 200;
/** Event streams that one process keeps open, and those of one user among them. */
export const STREAMS_MAX = 5_000;
export const STREAMS_OF_USER_MAX = 32;
/** Requests that one process takes of one key, or of tokens of one user, and about one user, in a minute; settings. */
export const KEY_REQUESTS_PER_MINUTE_MAX_DEFAULT = 6_000;
export const USER_REQUESTS_PER_MINUTE_MAX_DEFAULT = 600;
/** Keys and users whose requests one process counts at a time; the least recent are forgotten. */
export const RATES_MAX = 50_000;
/** A comment keeps proxies from closing a stream that is quiet. */
export const STREAM_HEARTBEAT_MS = 15_000;
/** A reader that takes nothing for so long is disconnected: it resumes by the id that it has. */
export const STREAM_STALL_MS_MAX = 30_000;

/** A file that is written over HTTP. One that is read may be of any size. */
export const FILE_BYTES_MAX = 32 * 1024 * 1024;
/**
 * Files cross in pieces of so many bytes, 512 KiB in base64: what an execution may print, and take, is not stated by the provider. Where
 * answers come cut short pieces become smaller, down to the second.
 */
export const FILE_PIECE_BYTES = 384 * 1024;
export const FILE_PIECE_BYTES_MIN = 16 * 1024;
/** Pieces of one file that are under way at once: an execution takes a second where the provider is far. */
export const FILE_PIECES_PARALLEL_MAX = 4;
/** One execution that works on files. */
export const FILE_EXECUTION_MS_MAX = 60_000;
/** A path below the home directory, and one name in it. */
export const FILE_PATH_BYTES_MAX = 4_096;
export const FILE_NAME_BYTES_MAX = 255;
/** Entries of a folder that can be listed: the machine sorts them for each page. */
export const FOLDER_ENTRIES_MAX = 20_000;
/** Requests about files that one process works on, and those of one user among them. */
export const FILE_REQUESTS_MAX = 64;
export const FILE_REQUESTS_OF_USER_MAX = 4;
/** How long a request about files waits for a machine that it asked to wake, and how often it looks. */
export const FILE_WAKE_MS_MAX = 60_000;
export const FILE_WAKE_LOOK_MS = 250;
/** A file that takes longer to cross is given up: its machine is kept awake meanwhile. */
export const FILE_TRANSFER_MS_MAX = 30 * 60_000;
/**
 * A lease on a machine lives so long unless it is renewed, and is renewed so often: a gateway that dies costs its user this much. On
 * its holder's word it ends at once.
 */
export const LEASE_MS = 30_000;
export const LEASE_RENEW_MS = 8_000;
/** A leased machine is touched so often: below the 300 s after which the provider may put a quiet one to sleep. */
export const LEASE_TOUCH_MS = 120_000;

/** Turns whose first live text a worker waits for, to measure it; beyond, the oldest is waited for no longer. */
export const TIMED_TURNS_MAX = 10_000;
/** Messages whose trace a lane remembers, for the turns that they made. */
export const TRACED_TURNS_MAX = 20;
/** Spans that wait for their export; more are dropped. */
export const SPANS_QUEUED_MAX = 2_048;
/** One export of spans, the last one of a process included. */
export const SPANS_EXPORT_MS_MAX = 5_000;
