import type { Machine } from '../machine.ts';

export function describeMachine({ cpu, cores, memoryGb, system }: Machine): string {
  return `${cpu}, ${cores} ${cores === 1 ? 'core' : 'cores'}, ${memoryGb} GB, ${system}`;
}

/** Above this share of all cores, what else runs shows in figures. */
const QUIET = 0.05;

/** Empty where the machine had nothing else to do. */
export function describeBusy({ busyBefore }: Machine): string {
  return busyBefore > QUIET ? `${Math.round(busyBefore * 100)} % of it was busy before the run` : '';
}

export function describeVersions(versions: Record<string, string>): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}

/** A dash where it was not measured. */
export function figureText(figure: unknown): string {
  if (figure === null || figure === undefined) return '–';
  return typeof figure === 'object' ? JSON.stringify(figure) : String(figure);
}
