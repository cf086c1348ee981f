import { z } from 'zod';
import { patternProblem } from './pattern.ts';
import { COLUMN_TYPES, isType } from './types.ts';

const length = z.int().min(0).max(1_000_000);

/** The rules of one column, as a tenant writes them. */
export const columnSchema = z
  .strictObject({
    name: z.string().trim().min(1).max(200),
    type: z.enum(COLUMN_TYPES),
    /** The cell must not be empty. Every other rule is skipped for empty cells. */
    required: z.boolean().optional(),
    /** Number for integer and number; ISO 8601 text for date and datetime. */
    min: z.union([z.number(), z.string()]).optional(),
    max: z.union([z.number(), z.string()]).optional(),
    min_length: length.optional(),
    max_length: length.optional(),
    pattern: z.string().min(1).max(1000).optional(),
    enum: z.array(z.string()).min(1).max(10_000).optional(),
    unique: z.boolean().optional(),
  })
  .superRefine((column, context) => {
    for (const bound of ['min', 'max'] as const) {
      const problem = boundProblem(column.type, column[bound]);
      if (problem) context.addIssue({ code: 'custom', path: [bound], message: problem });
    }
    if (column.min_length !== undefined && column.max_length !== undefined && column.min_length > column.max_length) {
      context.addIssue({ code: 'custom', path: ['min_length'], message: 'is greater than max_length' });
    }
    const problem = column.pattern === undefined ? undefined : patternProblem(column.pattern);
    if (problem) {
      context.addIssue({ code: 'custom', path: ['pattern'], message: `RE2 does not accept it: ${problem}` });
    }
  });

export type Column = z.output<typeof columnSchema>;

export const columnsSchema = z
  .array(columnSchema)
  .min(1)
  .max(1000)
  .superRefine((columns, context) => {
    const seen = new Set<string>();
    columns.forEach((column, index) => {
      if (seen.has(column.name)) {
        context.addIssue({ code: 'custom', path: [index, 'name'], message: `"${column.name}" is there twice` });
      }
      seen.add(column.name);
    });
  });

function boundProblem(type: Column['type'], bound: number | string | undefined): string | undefined {
  if (bound === undefined) return undefined;
  if (type === 'integer' || type === 'number') {
    return typeof bound === 'number' ? undefined : `must be a number for type ${type}`;
  }
  if (type === 'date') {
    return typeof bound === 'string' && isType('date', bound) ? undefined : 'must be a date such as "2024-12-31"';
  }
  if (type === 'datetime') {
    return typeof bound === 'string' && isType('datetime', bound)
      ? undefined
      : 'must be a date and time such as "2024-12-31T23:59:59Z"';
  }
  return `does not apply to type ${type}; use min_length and max_length for the length of text`;
}
