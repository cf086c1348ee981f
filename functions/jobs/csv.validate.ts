import { validationSchema } from '../csv/input.ts';
import { validateCsv } from '../csv/validate.ts';
import { defineJob } from '../job.ts';

export default defineJob({
  type: 'csv.validate',
  description: 'Checks a CSV file against the rules of its columns; reports and, if asked, repairs what is wrong.',
  input: validationSchema,
  run: validateCsv,
});
