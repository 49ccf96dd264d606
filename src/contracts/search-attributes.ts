/** The lane's search attributes: names as an operator types them, and their types at the server. Never hold user text. */
export const SEARCH_ATTRIBUTES = {
  phase: { name: 'UserMachinePhase', type: 'Keyword' },
  machineId: { name: 'MachineId', type: 'Keyword' },
  turnCount: { name: 'TurnCount', type: 'Int' },
  lastTurnAt: { name: 'LastTurnAt', type: 'Datetime' },
  lastErrorCode: { name: 'LastErrorCode', type: 'Keyword' },
} as const;
