/** A plan in words, for `--plan`. */
import type { Plan, PlannedFault } from './plan.js';

export function describePlan(plan: Plan): string[] {
  const lines = [`seed ${plan.seed}: ${plan.turns} turns, ${plan.users} users and those who are destroyed`];
  for (const fault of plan.serverFaults) lines.push(`${pad(fault)} once ${fault.afterTurns} turns have ended`);
  for (const fault of plan.workerPoints) lines.push(pad(fault));
  for (const user of plan.people) {
    for (const turn of user.turns) {
      const how = [turn.via, ...(turn.sleepsBefore ? ['asleep'] : []), `${turn.commands.length} commands`];
      lines.push(`${user.userId} ${turn.turnId}: ${how.join(', ')}`);
      for (const fault of turn.faults) lines.push(`  ${pad(fault)}`);
    }
    if (user.isDestroyed) lines.push(`${user.userId} is destroyed`);
  }
  return lines;
}

function pad({ id, kind, aim }: PlannedFault): string {
  const particulars = Object.entries(aim).map(([name, value]) => `${name}=${String(value)}`);
  return [id.padEnd(5), kind.padEnd(20), ...particulars].join(' ').trimEnd();
}
