import { Command } from 'commander';
import { deadCommand } from './queue/dead.ts';
import { pauseCommand } from './queue/pause.ts';
import { redriveCommand } from './queue/redrive.ts';
import { statusCommand } from './queue/status.ts';

/** `queue status|dead|redrive|pause|resume`. */
export function queueCommand(): Command {
  return new Command('queue')
    .description('what waits, runs and has died; try dead letters again; pause a type of job')
    .addCommand(statusCommand())
    .addCommand(deadCommand())
    .addCommand(redriveCommand())
    .addCommand(pauseCommand('pause', 'start no more jobs of a type, on any worker; they are accepted, and wait'))
    .addCommand(pauseCommand('resume', 'start jobs of a paused type again'))
    .addHelpText('after', '\nExample:\n  $ rowhouse queue redrive --tenant t_acme');
}
