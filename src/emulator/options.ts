/** How the emulator is started, and what a running one offers. */

export const PROFILES = ['g2', 'g3', 'g5', 'g6'] as const;
/** A generation of the vendor's API. */
export type Profile = (typeof PROFILES)[number];

/** The part of a pino logger that is used. */
export interface EmulatorLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EmulatorOptions {
  profile: Profile;
  /** Holds all state; may be reopened after a crash, also with another profile. */
  dataDir: string;
  /** 0 picks a free one. */
  port: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Must be set to bind anything but loopback: whoever reaches the port gets shells on this host. */
  allowRemote?: boolean;
  /** Generated, and kept in the data folder, when absent. */
  apiKey?: string;
  /** Lets guests use the host's network. Default false. */
  guestNetwork?: boolean;
  log?: EmulatorLog;
  /** Scripted conversations of the built-in model. */
  modelScriptFile?: string;
}

export interface RunningEmulator {
  /** `http://host:port` */
  url: string;
  apiKey: string;
  /** Base URL of the built-in OpenAI-compatible model. */
  modelUrl: string;
  /** Stops serving, kills every sandbox and waits for them. State stays on disk. Idempotent. */
  close(): Promise<void>;
}

/** A mistake of whoever starts the emulator; the message says what to do. */
export class EmulatorStartError extends Error {}
