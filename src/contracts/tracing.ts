/** How the trace of a message travels through Temporal: as a header of its signal, and of what the lane has done for it. */

/** Where Temporal's own interceptors, in every language, put the context of a trace: whoever signals with them is joined too. */
export const TRACE_HEADER = '_tracer-data';
/** With the name of a turn, as the lane keeps it: its trace, handed on by a run of the lane to the next. */
export const TURN_TRACE_HEADER_PREFIX = 'innkeeper-trace/';

/** What a lane tells its worker of a trace. `header` is the payload as it came. */
export type LaneTraceSinks = {
  readonly trace: {
    /** The lane took note of a signal. */
    signalled(signal: string, header: unknown): void;
  };
};
