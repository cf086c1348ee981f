import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../paths.ts';
import { demoCommand } from './commands/demo.ts';
import { diffCommand } from './commands/diff.ts';
import { doctorCommand } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { keyCommand } from './commands/key.ts';
import { migrateCommand } from './commands/migrate.ts';
import { proveCommand } from './commands/prove.ts';
import { startCommand } from './commands/start.ts';
import { tenantCommand } from './commands/tenant.ts';
import { tokenCommand } from './commands/token.ts';
import { reportFailure } from './failure.ts';

/** Commander's own errors come to us as exceptions, and are told like all others. */
function quiet(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  for (const child of command.commands) quiet(child);
}

const { version, description } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));

const program = new Command('rowhouse')
  .description(description)
  .version(version)
  .addCommand(startCommand().addHelpText('after', '\nExample:\n  $ rowhouse start --fresh'))
  .addCommand(demoCommand())
  .addCommand(migrateCommand())
  .addCommand(tenantCommand())
  .addCommand(tokenCommand())
  .addCommand(keyCommand())
  .addCommand(doctorCommand())
  .addCommand(diffCommand())
  .addCommand(explainCommand())
  .addCommand(proveCommand())
  .addHelpText('after', '\nExamples:\n  $ rowhouse start\n  $ rowhouse token --tenant t_acme --user ada');
quiet(program);

try {
  await program.parseAsync();
} catch (error) {
  const help =
    error instanceof CommanderError && (error.code.startsWith('commander.help') || error.code === 'commander.version');
  // A command that was asked for help has printed it; one that lacks its subcommand has, too.
  if (help) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode ||= reportFailure(error, process.argv.includes('--json'));
}
