/** What rules are about; columns of the matrix like the families of attacks. */
export const RULE_FAMILIES = [
  'gate',
  'token',
  'key',
  'role',
  'schema',
  'column',
  'value',
  'state',
  'directory',
  'protect',
] as const;
export type RuleFamily = (typeof RULE_FAMILIES)[number];
