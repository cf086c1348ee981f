import { apiKeyRules } from './api-keys.ts';
import { backlogRules } from './backlogs.ts';
import { columnRules } from './columns.ts';
import { deadLetterRules } from './dead-letters.ts';
import { directoryRules } from './directory.ts';
import { eventRules } from './events.ts';
import { exposeRules } from './expose.ts';
import { followingRules } from './following.ts';
import { gateRules } from './gate.ts';
import { idempotencyRules } from './idempotency.ts';
import { jobScheduleRules } from './job-schedules.ts';
import { jobRules } from './jobs.ts';
import { keyAdmissionRules } from './key-admission.ts';
import { keyKeepingRules } from './key-keeping.ts';
import { keyRules } from './keys.ts';
import { ledgerRules } from './ledger.ts';
import { memberRules } from './members.ts';
import { protectRules } from './protect.ts';
import { refreshRules } from './refresh-tokens.ts';
import { requestRules } from './requests.ts';
import { schemaRules } from './schemas.ts';
import { serviceRules } from './services.ts';
import { sessionRules } from './sessions.ts';
import { settingRules } from './settings.ts';
import { shortWayRules } from './short-way.ts';
import { streamRules } from './streams.ts';
import { tokenRules } from './tokens.ts';
import type { Rule } from './types.ts';
import { valueRules } from './values.ts';
import { webhookBacklogRules } from './webhook-backlogs.ts';
import { webhookCircuitRules } from './webhook-circuit.ts';
import { webhookDispatchRules } from './webhook-dispatch.ts';
import { webhookOrderRules } from './webhook-order.ts';
import { webhookReplayRules } from './webhook-replay.ts';
import { webhookSecretRules } from './webhook-secrets.ts';
import { webhookWorkRules } from './webhook-work.ts';
import { webhookRules } from './webhooks.ts';

/** Every rule of the reference schema. */
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
  ...deadLetterRules,
  ...jobScheduleRules,
  ...serviceRules,
  ...directoryRules,
  ...settingRules,
  ...followingRules,
  ...ledgerRules,
  ...backlogRules,
  ...eventRules,
  ...streamRules,
  ...webhookRules,
  ...webhookSecretRules,
  ...webhookDispatchRules,
  ...webhookBacklogRules,
  ...webhookReplayRules,
  ...webhookOrderRules,
  ...webhookWorkRules,
  ...webhookCircuitRules,
  ...valueRules,
  ...protectRules,
  ...exposeRules,
];
