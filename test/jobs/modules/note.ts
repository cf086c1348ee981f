import { z } from 'zod';
import { defineJob, JobFailure } from '../../../functions/job.ts';

export default defineJob({
  type: 'custom.note',
  description: 'Renames a file of its tenant, in a transaction of its own',
  input: z.strictObject({ file_id: z.uuid(), name: z.string() }),
  async run({ file_id, name }, { transaction, traceparent, log }) {
    log.info('renaming');
    const renamed = await transaction((client) =>
      client.query('update app.files set name = $2 where id = $1', [file_id, name]),
    );
    if (renamed.rowCount === 0) throw new JobFailure('note_nothing_there', 'no such file');
    return { traceparent };
  },
});
