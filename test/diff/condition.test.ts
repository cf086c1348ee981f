import { expect, test } from 'vitest';
import { isTied } from '../../functions/diff/condition.ts';

const OWN = '((tenant_id)::text = request.tenant_id())';

test.each([
  OWN,
  `(${OWN} AND request.has_tenant_role('member'::text))`,
  `((title <> ' OR '::text) AND ${OWN})`,
  `((a OR b) AND (${OWN} AND c))`,
  '((tenant_id)::text = ( SELECT request.tenant_id() AS tenant_id))',
  "(request.role() = 'operator'::text)",
])('%s holds rows to the tenant', (expression) => {
  expect(isTied(expression, 'app.files')).toBe(true);
});

test.each([
  'true',
  `(${OWN} OR true)`,
  `((${OWN} AND a) OR b)`,
  `(NOT ${OWN})`,
  '((tenant_id)::text <> request.tenant_id())',
  "((title)::text = ' AND ((tenant_id)::text = request.tenant_id()) AND '::text)",
  '((tenant_id)::text = evil.request.tenant_id())',
  '((id)::text = request.tenant_id())',
  "((tenant_id)::text = current_setting('x'::text))",
])('%s does not', (expression) => {
  expect(isTied(expression, 'app.files')).toBe(false);
});

test('the directory of tenants is keyed by id', () => {
  expect(isTied('((id)::text = request.tenant_id())', 'tenancy.tenants')).toBe(true);
  expect(isTied(OWN, 'tenancy.tenants')).toBe(false);
});
