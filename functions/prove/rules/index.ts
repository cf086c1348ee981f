import { apiKeyRules } from './api-keys.ts';
import { columnRules } from './columns.ts';
import { directoryRules } from './directory.ts';
import { followingRules } from './following.ts';
import { gateRules } from './gate.ts';
import { idempotencyRules } from './idempotency.ts';
import { jobRules } from './jobs.ts';
import { keyAdmissionRules } from './key-admission.ts';
import { keyKeepingRules } from './key-keeping.ts';
import { keyRules } from './keys.ts';
import { memberRules } from './members.ts';
import { protectRules } from './protect.ts';
import { refreshRules } from './refresh-tokens.ts';
import { requestRules } from './requests.ts';
import { schemaRules } from './schemas.ts';
import { serviceRules } from './services.ts';
import { sessionRules } from './sessions.ts';
import { settingRules } from './settings.ts';
import { shortWayRules } from './short-way.ts';
import { tokenRules } from './tokens.ts';
import type { Rule } from './types.ts';
import { valueRules } from './values.ts';

/** Every rule of the reference schema. One about what a schema does not have is not tried there. */
export const rules: readonly Rule[] = [
  ...tokenRules,
  ...gateRules,
  ...shortWayRules,
  ...requestRules,
  ...idempotencyRules,
  ...keyRules,
  ...apiKeyRules,
  ...keyAdmissionRules,
  ...keyKeepingRules,
  ...sessionRules,
  ...refreshRules,
  ...memberRules,
  ...schemaRules,
  ...columnRules,
  ...jobRules,
  ...serviceRules,
  ...directoryRules,
  ...settingRules,
  ...followingRules,
  ...valueRules,
  ...protectRules,
];
