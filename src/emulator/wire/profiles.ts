/** What differs between the generations of the API that the emulator speaks, in one table. */
import type { Profile } from '../options.js';

export interface ProfileRules {
  /** PATCH, DELETE, sleep and wake must carry If-Match. */
  requiresIfMatch: boolean;
  /** Mutations and lists answer a flat `phase` instead of a nested `status`. */
  hasFlatBodies: boolean;
  /** `autosleep` may be sent and `autosleep_seconds` is answered. */
  hasAutosleep: boolean;
  hasOptionalSizes: boolean;
  hasBareIds: boolean;
  hasStatusStream: boolean;
  hasTerminals: boolean;
  hasPreviews: boolean;
  hasPorts: boolean;
  hasArtifacts: boolean;
  hasNetwork: boolean;
  hasReboot: boolean;
  hasExecutionLogs: boolean;
  /** Idempotency keys must be compact UUIDv7s (32 hex digits). */
  requiresUuidKeys: boolean;
  /** Usage endpoints; `stripe` rows carry billing identifiers, `plain` rows do not. */
  usage: 'none' | 'stripe' | 'plain';
}

const g2: ProfileRules = {
  requiresIfMatch: true,
  hasFlatBodies: false,
  hasAutosleep: false,
  hasOptionalSizes: false,
  hasBareIds: false,
  hasStatusStream: true,
  hasTerminals: true,
  hasPreviews: true,
  hasPorts: false,
  hasArtifacts: true,
  hasNetwork: false,
  hasReboot: false,
  hasExecutionLogs: false,
  requiresUuidKeys: false,
  usage: 'none',
};

const g3: ProfileRules = { ...g2, requiresIfMatch: false, hasAutosleep: true, usage: 'stripe' };

const g5: ProfileRules = {
  ...g3,
  hasFlatBodies: true,
  hasPreviews: false,
  hasPorts: true,
  hasNetwork: true,
  usage: 'plain',
};

const g6: ProfileRules = {
  ...g5,
  hasOptionalSizes: true,
  hasBareIds: true,
  hasStatusStream: false,
  hasTerminals: false,
  hasPorts: false,
  hasArtifacts: false,
  hasNetwork: false,
  hasReboot: true,
  hasExecutionLogs: true,
  requiresUuidKeys: true,
  usage: 'none',
};

export const PROFILE_RULES: Readonly<Record<Profile, ProfileRules>> = { g2, g3, g5, g6 };
