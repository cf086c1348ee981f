import { z } from 'zod';
import { columnsSchema } from './columns.ts';
import { DELIMITERS } from './dialect.ts';
import { ENCODINGS } from './encoding.ts';
import { DATE_ORDERS } from './repair-date.ts';

/** What a tenant asks for: a file, the rules of its columns, and what to make of it. */
export const validationSchema = z
  .strictObject({
    file_id: z.uuid(),
    columns: columnsSchema,
    delimiter: z.enum(['auto', ...DELIMITERS]).default('auto'),
    encoding: z.enum(['auto', ...ENCODINGS]).default('auto'),
    /** Whether the first record names the columns. Without one they are taken in the order declared. */
    header: z.boolean().default(true),
    /** Also write a repaired file. */
    repair: z.boolean().default(false),
    /** Leave exact duplicates of earlier rows out of the repaired file. */
    deduplicate: z.boolean().default(false),
    /** How dates of digits only are to be read. Without it, those with two readings are not repaired. */
    date_order: z.enum(DATE_ORDERS).optional(),
    /** How many findings are stored as rows; the report file holds all of them. */
    max_findings: z.int().min(1).max(10_000).default(1000),
    /** What columns that are not declared are. */
    extra_columns: z.enum(['allow', 'warn', 'error']).default('warn'),
  })
  .superRefine((input, context) => {
    if (input.repair) return;
    for (const option of ['deduplicate', 'date_order'] as const) {
      if (input[option]) context.addIssue({ code: 'custom', path: [option], message: 'needs "repair": true' });
    }
  });

export type ValidationInput = z.output<typeof validationSchema>;
