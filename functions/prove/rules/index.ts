import { columnRules } from './columns.ts';
import { directoryRules } from './directory.ts';
import { gateRules } from './gate.ts';
import { jobRules } from './jobs.ts';
import { keyRules } from './keys.ts';
import { memberRules } from './members.ts';
import { protectRules } from './protect.ts';
import { schemaRules } from './schemas.ts';
import { serviceRules } from './services.ts';
import { tokenRules } from './tokens.ts';
import type { Rule } from './types.ts';
import { valueRules } from './values.ts';

/** Every rule of the reference schema. One about what a schema does not have is not tried there. */
export const rules: readonly Rule[] = [
  ...tokenRules,
  ...gateRules,
  ...keyRules,
  ...memberRules,
  ...schemaRules,
  ...columnRules,
  ...jobRules,
  ...serviceRules,
  ...directoryRules,
  ...valueRules,
  ...protectRules,
];
