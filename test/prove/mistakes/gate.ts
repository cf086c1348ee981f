import type { Mistake } from './mistake.ts';

/** A function of the gate with one condition changed; fails where that is not in it. */
const change = (routine: string, from: string, to: string) => `
  set role rowhouse_sealer;
  do $change$
  declare source constant text := pg_get_functiondef('${routine}'::regprocedure);
  begin
    if strpos(source, $was$${from}$was$) = 0 then raise exception '${routine} has changed'; end if;
    execute replace(source, $was$${from}$was$, $is$${to}$is$);
  end $change$;
  set role rowhouse_owner`;

interface Weakened {
  name: string;
  source: string;
  routine: string;
  from: string;
  to: string;
  at: RegExp;
  relation?: string;
}

const WEAKENED: Weakened[] = [
  {
    name: 'a token without an audience is accepted: null is not unlike',
    source: 'PostgREST#2093, PostgREST#4134',
    routine: 'auth.verify_token(text)',
    from: `when claims ->> 'aud' is distinct from 'rowhouse' then`,
    to: `when claims ->> 'aud' <> 'rowhouse' then`,
    at: /^v1\.files · select · owner · token · direct · without an audience/,
  },
  {
    name: 'a removed member keeps access for as long as the token lives',
    source: 'supabase#6702; ay-framework#376; captable#283',
    routine: 'auth.seal_for(text)',
    from: `if not found then
        perform request.raise_error('membership_required', null, 'ask`,
    to: `if not found then
        rank := tenancy.role_rank(claims ->> 'tenant_role');
      elsif false then
        perform request.raise_error('membership_required', null, 'ask`,
    at: /^v1\.files · select · owner · token · direct · somebody who was removed/,
  },
  {
    name: 'a suspended tenant reads on',
    source: 'supabase#3233 (no revocation); landscape 1.4',
    routine: 'auth.seal_for(text)',
    from: `elsif tenant_status = 'suspended' then`,
    to: `elsif tenant_status = 'closed' then`,
    at: /^v1\.files · select · owner · token · direct · of a suspended tenant/,
  },
  {
    name: 'the role is what the token says, and not what the member is by now',
    source: 'captable#283; supabase#3233 (stale claims)',
    routine: 'auth.member_seal(text)',
    from: `LEAST(tenancy.role_rank(member.role), tenancy.role_rank((signed_claims.claims ->> 'tenant_role'::text)))`,
    to: `tenancy.role_rank((signed_claims.claims ->> 'tenant_role'::text))`,
    relation: 'v1.tags',
    at: /^v1\.tags · insert · viewer · tenant · direct · a token from before a downgrade/,
  },
  {
    name: 'counts may be estimated, from every tenant’s rows',
    source: 'CVE-2019-10130 and its class: statistics know no policies',
    routine: 'auth.admit_request()',
    from: '(planned|estimated)',
    to: '(unheard)',
    at: /^v1\.files · select · \w+ · count · direct · planned/,
  },
];

/** The gate is code: the catalogue does not tell what it no longer asks. */
export const GATE_MISTAKES: Mistake[] = WEAKENED.map(
  ({ name, source, routine, from, to, at, relation = 'v1.files' }) => ({
    name,
    source,
    plant: change(routine, from, to),
    doctor: [],
    prove: {
      uproot: change(routine, to, from),
      only: { relations: [relation], verbs: ['select', 'insert'], families: ['token', 'count', 'tenant'] },
      at,
    },
  }),
);
