/** The environment of every guest process, made from nothing: no variable of the host gets in. */
import { GUEST_HOME } from '../constants.js';
import { GUEST_PATH } from '../sandbox/guest-files.js';

export function guestEnv(machineId: string, extra: Readonly<Record<string, string>>): Record<string, string> {
  return {
    PATH: GUEST_PATH,
    HOME: GUEST_HOME,
    USER: 'root',
    LOGNAME: 'root',
    SHELL: '/bin/bash',
    LANG: 'C.UTF-8',
    HOSTNAME: machineId,
    ...extra,
  };
}
