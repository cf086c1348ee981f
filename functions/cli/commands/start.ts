import { Command } from 'commander';
import { Listr } from 'listr2';
import pc from 'picocolors';
import { connected } from '../../database.ts';
import { openStack, type Stack, type StackInfo } from '../../stack/supervisor.ts';
import { STATE_DIRECTORY } from '../database.ts';
import { problemsTo } from '../problems.ts';

interface StartOptions {
  fresh?: boolean;
  secondPool?: boolean;
  stateDir: string;
  json?: boolean;
}

/** Exit code of a shell command that Ctrl-C ended: the stack was not ready, or was killed. */
const INTERRUPTED = 130;

/** `start`: the embedded stack, supervised until Ctrl-C. */
export function startCommand(): Command {
  return new Command('start')
    .description('start PostgreSQL, PostgREST, edge and worker, and keep them running until Ctrl-C')
    .option('--fresh', 'remove all data of this directory first')
    .option('--second-pool', 'start a second PostgREST, dedicated to the demo tenant t_globex')
    .option('--state-dir <dir>', 'where data, logs and secrets are kept', STATE_DIRECTORY)
    .option('--json', 'print stack.json as the last line when ready')
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  const terminal = problemsTo(2);
  const stack = await openStack({
    directory: options.stateDir,
    fresh: options.fresh ?? false,
    secondPool: options.secondPool ?? false,
    onLog: terminal.write,
  });
  const stopped = stopOnSignal(stack, terminal.silence);
  try {
    await runSteps(stack, options.json === true);
    await announce(stack.info, options.json === true);
    terminal.open();
  } catch (error) {
    if (stopped.requested()) {
      process.exitCode = INTERRUPTED;
      return stopped.done;
    }
    terminal.silence();
    await stack.stop();
    throw error;
  }
  await stopped.done;
}

async function runSteps(stack: Stack, json: boolean): Promise<void> {
  let failure: unknown;
  const tasks = stack.steps.map(({ title, run }) => ({
    title,
    task: async (_: unknown, task: { title: string }) => {
      const say = (message: string) => {
        task.title = `${title}: ${message}`;
      };
      const done = await run(say).catch((error) => {
        failure = error;
        throw new Error('see below'); // The list would print all of it, and then so does the command.
      });
      task.title = done;
      if (json) process.stderr.write(`${done}\n`);
    },
  }));
  const list = new Listr(tasks, {
    renderer: json ? 'silent' : 'default',
    registerSignalListeners: false,
  });
  await list.run().catch((error) => {
    throw failure ?? error;
  });
}

async function announce(info: StackInfo, json: boolean): Promise<void> {
  const say = (text: string) => (json ? process.stderr : process.stdout).write(`${text}\n`);
  const [acme, globex] = await connected(info.database.migrator, async (client) => {
    const issue = async (tenant: string, user: string) => {
      const { rows } = await client.query<{ token: string }>(
        `select auth.issue_token($1, $2, 'owner', '12 hours') as token`,
        [tenant, user],
      );
      return rows[0]?.token ?? '';
    };
    return [await issue('t_acme', 'ada'), await issue('t_globex', 'grace')];
  });
  const members = (query: string, token: string | undefined) =>
    `curl -s '${info.edge}/v1/members?${query}' -H 'Authorization: Bearer ${token}'`;
  say(`
${pc.bold('Ready')}
  API         ${info.edge}
  PostgREST   ${info.postgrest}
  PostgreSQL  ${info.database.migrator.replace(/:[^:@/]+@/, ':…@')}

${pc.bold('To paste into another terminal')}: the owners of two demo tenants, for 12 hours
export EDGE=${info.edge}
export ACME=${acme}
export GLOBEX=${globex}

${pc.bold('Try')}
${pc.dim('# the members of acme')}
${members('select=user_id,role', acme)}

${pc.dim('# the same address as globex: its own members')}
${members('select=user_id,role', globex)}

${pc.dim('# globex asking for those of acme: []')}
${members('tenant_id=eq.t_acme', globex)}

Ctrl-C stops everything.`);
  if (json) process.stdout.write(`${JSON.stringify(info)}\n`);
}

/** The first signal stops children in order, a second one kills them. */
function stopOnSignal(stack: Stack, silence: () => void) {
  let requested = false;
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  const onSignal = (signal: NodeJS.Signals) => {
    silence();
    if (requested) {
      process.stderr.write('Killing what still runs.\n');
      stack.stop(true).then(() => process.exit(INTERRUPTED), reject);
      return;
    }
    requested = true;
    process.stderr.write(`\n${signal}: stopping; once more to kill.\n`);
    stack.stop().then(resolve, reject);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return { done, requested: () => requested };
}
