/** Calls of regular activities (those of Postgres alone are in store-steps.ts), each with the options of its kind and a summary for the operator: turn, step and tool, never any text. */
import { proxyActivities, type ActivityOptions } from '@temporalio/workflow';
import type {
  ActResult,
  MachineActivities,
  OpenTurn,
  SleepResult,
  StopWord,
  ThinkResult,
  TurnActivities,
} from '../contracts/activities.js';
import type { MachineView } from '../contracts/lane-state.js';
import { actOptions, destroyOptions, machineOptions, stopOptions, thinkOptions } from './activity-options.js';

const agent = proxyActivities<Pick<TurnActivities, 'think' | 'act' | 'stopCommand'>>(thinkOptions);
const machine = proxyActivities<MachineActivities>(machineOptions);

/** A summary is at most 400 bytes, or the server refuses the whole task; a tool's name comes from the model. */
const TOOL_NAME_SHOWN_MAX = 40;
const toolName = (tool: string): string => tool.replaceAll(/[^\w.-]/g, '?').slice(0, TOOL_NAME_SHOWN_MAX);

const ref = (turn: OpenTurn): { turnKey: string; position: number } => ({
  turnKey: turn.turnKey,
  position: turn.position,
});

export function think(turn: OpenTurn, { step, mayOpen }: { step: number; mayOpen: boolean }): Promise<ThinkResult> {
  const summary = `turn ${turn.position} · step ${step} · think`;
  const input = { ...ref(turn), step, ...(mayOpen ? { mayOpen } : {}) };
  return agent.think.executeWithOptions({ ...thinkOptions, summary }, [input]);
}
export function act(turn: OpenTurn, call: { step: number; index: number; tool: string }): Promise<ActResult> {
  const summary = `turn ${turn.position} · step ${call.step} · act ${call.index} · ${toolName(call.tool)}`;
  return agent.act.executeWithOptions({ ...actOptions, summary }, [
    { ...ref(turn), step: call.step, index: call.index },
  ]);
}
export function stopCommand(
  turn: OpenTurn,
  as: StopWord,
  options: ActivityOptions = stopOptions,
): Promise<{ stopped: number }> {
  const summary = `turn ${turn.position} · stop its commands`;
  return agent.stopCommand.executeWithOptions({ ...options, summary }, [{ ...ref(turn), as }]);
}
export function provisionMachine(): Promise<MachineView> {
  return machine.provisionMachine.executeWithOptions({ ...machineOptions, summary: 'provision machine' }, []);
}
export function bootstrapMachine(): Promise<MachineView> {
  return machine.bootstrapMachine.executeWithOptions({ ...machineOptions, summary: 'bootstrap machine' }, []);
}
export function wakeMachine(): Promise<MachineView> {
  return machine.wakeMachine.executeWithOptions({ ...machineOptions, summary: 'wake machine' }, []);
}
export function sleepMachine(): Promise<SleepResult> {
  return machine.sleepMachine.executeWithOptions({ ...machineOptions, summary: 'put machine to sleep' }, []);
}
export function markMachineLost(generation: number): Promise<MachineView> {
  const summary = `machine of generation ${generation} is lost`;
  return machine.markMachineLost.executeWithOptions({ ...machineOptions, summary }, [{ generation }]);
}
export function destroyMachine(): Promise<MachineView> {
  return machine.destroyMachine.executeWithOptions({ ...destroyOptions, summary: 'destroy machine' }, []);
}
