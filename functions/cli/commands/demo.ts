import { Command } from 'commander';
import { connected } from '../../database.ts';
import { RowhouseError } from '../../errors.ts';
import { runningStack, STATE_DIRECTORY } from '../database.ts';
import { expectStatus, type TenantClient, tenantClient } from '../demo/client.ts';
import { DATASETS, type Dataset } from '../demo/datasets.ts';
import { downloadFile, expectNothing, readFindings, submitJob, uploadFile, watchJob } from '../demo/steps.ts';
import { colours, print, progress, table } from '../output.ts';

interface DemoOptions {
  stateDir: string;
  json?: boolean;
}

const SHOWN_FINDINGS = 8;

/** `demo`: one tenant's public CSV files, validated behind the wall while another tenant looks on. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('upload, validate and repair two public CSV files as t_acme, and ask for them as t_globex')
    .option('--state-dir <dir>', 'where the running stack keeps its state', STATE_DIRECTORY)
    .option('--json', 'print what was seen as JSON')
    .addHelpText('after', '\nExamples:\n  $ rowhouse demo\n  $ rowhouse demo --json | tail -1')
    .action(async (options: DemoOptions) => {
      const stack = runningStack(options.stateDir);
      const [acme, globex] = await connected(stack.database.migrator, async (client) => {
        const { rows } = await client.query<{ acme: string; globex: string }>(
          `select auth.issue_token('t_acme', 'amy', 'member') as acme, auth.issue_token('t_globex', 'grace', 'owner') as globex`,
        );
        return [tenantClient(stack.edge, rows[0]?.acme ?? ''), tenantClient(stack.edge, rows[0]?.globex ?? '')];
      });
      const reports = [];
      for (const dataset of DATASETS)
        reports.push(await show(dataset, acme as TenantClient, globex as TenantClient, options.json));
      const { bold, green } = colours();
      print(options.json, { ok: true, files: reports }, () => green(bold('Every step was as it should be.')));
    });
}

async function show(dataset: Dataset, acme: TenantClient, globex: TenantClient, json?: boolean) {
  const { bold, dim } = colours();
  const say = (text: string) => json || process.stdout.write(`${text}\n`);
  const note = progress(json);

  expectStatus(await globex.get('/v1/tenant'), 200, 'the other tenant asking who it is');
  say(bold(`\n${dataset.file}`));
  const fileId = await uploadFile(acme, dataset);
  say(`uploaded as t_acme       ${fileId}`);
  const jobId = await submitJob(acme, dataset, fileId);
  say(`submitted csv.validate   ${jobId}`);
  let shown = '';
  const job = await watchJob(acme, jobId, ({ status, progress: at }) => {
    const line = at.total_bytes
      ? `${status} ${Math.round((100 * (at.bytes ?? 0)) / at.total_bytes)} %, ${at.rows} rows`
      : status;
    if (line !== shown) note(line);
    shown = line;
  });
  const { result } = job;
  if (result.rows < 3000)
    throw new RowhouseError('demo_failed', { detail: `${dataset.file}: only ${result.rows} rows were read` });
  say(`succeeded                ${result.rows} rows, ${result.findings} findings`);

  const findings = await readFindings(acme, jobId, SHOWN_FINDINGS);
  if (findings.length === 0)
    throw new RowhouseError('demo_failed', { detail: `${dataset.file}: no finding, where the data has some` });
  say(
    table(
      ['row', 'column', 'rule', 'value', 'message'],
      findings.map((f) => [String(f.row ?? ''), f.column_name ?? '', f.rule, f.value ?? '', f.message]),
    ),
  );
  if (result.findings > findings.length) say(dim(`and ${result.findings - findings.length} more`));

  const report = await downloadFile(acme, result.report_file_id);
  const repaired = await downloadFile(acme, result.repaired_file_id);
  say(`report                   ${report.length} characters, first line: ${report.split('\n', 1)[0]}`);
  say(`repaired file            ${repaired.length} characters, first line: ${repaired.split('\n', 1)[0]}`);

  const seen = await expectNothing(globex, jobId, [fileId, result.report_file_id, result.repaired_file_id]);
  say(`\n${bold('the same URLs as t_globex')}`);
  say(
    table(
      ['path', 'answer'],
      seen.map(({ path, answer }) => [path, answer]),
    ),
  );
  return { file: dataset.file, file_id: fileId, job_id: jobId, result, other_tenant: seen };
}
