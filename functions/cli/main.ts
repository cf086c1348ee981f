import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../paths.ts';
import { reportFailure } from './failure.ts';

/** Commander's own errors come to us as exceptions, and are told like all others. */
function quiet(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  for (const child of command.commands) quiet(child);
}

const { version, description } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));

const commands: Record<string, () => Promise<Command>> = {
  start: async () =>
    (await import('./commands/start.ts')).startCommand().addHelpText('after', '\nExample:\n  $ rowhouse start --fresh'),
  demo: async () => (await import('./commands/demo.ts')).demoCommand(),
  migrate: async () => (await import('./commands/migrate.ts')).migrateCommand(),
  tenant: async () => (await import('./commands/tenant.ts')).tenantCommand(),
  token: async () => (await import('./commands/token.ts')).tokenCommand(),
  'api-key': async () => (await import('./commands/api-key.ts')).apiKeyCommand(),
  issuer: async () => (await import('./commands/issuer.ts')).issuerCommand(),
  key: async () => (await import('./commands/key.ts')).keyCommand(),
  pool: async () => (await import('./commands/pool.ts')).poolCommand(),
  'webhook-key': async () => (await import('./commands/webhook-key.ts')).webhookKeyCommand(),
  events: async () => (await import('./commands/events.ts')).eventsCommand(),
  queue: async () => (await import('./commands/queue.ts')).queueCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  diff: async () => (await import('./commands/diff.ts')).diffCommand(),
  explain: async () => (await import('./commands/explain.ts')).explainCommand(),
  tune: async () => (await import('./commands/tune.ts')).tuneCommand(),
  prove: async () => (await import('./commands/prove.ts')).proveCommand(),
};

const program = new Command('rowhouse')
  .description(description)
  .version(version)
  // Or --json of `webhook-key list` would be that of `webhook-key`.
  .enablePositionalOptions()
  .addHelpText('after', '\nExamples:\n  $ rowhouse start\n  $ rowhouse token --tenant t_acme --user ada');
// Of the commands, only the one that is asked for is loaded: all of them take half a second.
const asked = process.argv[2] ?? '';
for (const name of Object.hasOwn(commands, asked) ? [asked] : Object.keys(commands)) {
  const command = await commands[name]?.();
  if (command) program.addCommand(command);
}
quiet(program);
// `rowhouse … | head` closes our output when it has read enough: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  const help =
    error instanceof CommanderError && (error.code.startsWith('commander.help') || error.code === 'commander.version');
  // A command that was asked for help has printed it; one that lacks its subcommand has, too.
  if (help) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode ||= reportFailure(error, process.argv.includes('--json'));
}
