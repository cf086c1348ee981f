import { expect } from 'vitest';
import { http } from '../support/http.ts';
import type { TestStack } from '../support/stack.ts';

type Settings = Record<string, number | boolean | string | null>;

export interface LimitedTenant {
  id: string;
  token: string;
}

let made = 0;

/** As an operator would. */
export async function changeSettings(stack: TestStack, id: string, settings: Settings): Promise<void> {
  const token = await stack.operatorToken();
  const { status } = await http(`${stack.postgrest}/rpc/set_tenant_settings`, {
    token,
    body: { id, settings },
    headers: { 'content-profile': 'admin' },
  });
  expect(status).toBe(200);
}

/** A tenant with settings of its own that no edge has seen before: nothing has to be waited for. */
export async function tenantWith(stack: TestStack, settings: Settings = {}): Promise<LimitedTenant> {
  const id = `t_limited_${++made}`;
  await stack.createTenant(id);
  await changeSettings(stack, id, settings);
  return { id, token: await stack.token({ tenant: id }) };
}
