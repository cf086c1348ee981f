import { databaseRole, nameOf, type Relation } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import type { Lab } from '../lab.ts';
import { type Call, type Door, type Family, type Probe, ROLES, type Role, TENANT_ROLES, type Verb } from '../types.ts';

/** The roles that attack, and the doors that they come through. */
export function rolesOf(lab: Lab): Role[] {
  const quick: Role[] = ['viewer', 'owner', 'operator', 'none'];
  const all = lab.options.quick ? quick : [...ROLES];
  return all.filter((role) => !lab.options.only?.roles || lab.options.only.roles.includes(role));
}

/** The edge serves the default schema and `admin`; `some` roles are enough there for what only PostgREST evaluates. */
export function doorsOf(lab: Lab, role: Role, some = false): Door[] {
  const edge = lab.target.edge !== undefined && !lab.options.quick && (!some || role === 'viewer' || role === 'owner');
  return edge ? ['direct', 'edge'] : ['direct'];
}

export const isTenantRole = (role: Role): boolean => (TENANT_ROLES as readonly string[]).includes(role);

/** The token that a role attacks with. */
export const attackerToken = (role: Role): string | null =>
  role === 'none' ? null : role === 'operator' ? 'operator' : `A_${role}`;

/** Somebody whose right the answer is: B's member of the same role, or the operator in the operator's schema. */
export function rightfulToken(relation: Relation, role: Role): string {
  if (!relation.grants.tenant_user?.select && relation.grants.operator?.select) return 'operator';
  return isTenantRole(role) ? `B_${role}` : 'B_owner';
}

export const param = (name: string, value: string): string =>
  `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;

export function pathTo(relation: Relation, ...query: readonly string[]): string {
  return `/${encodeURIComponent(relation.name)}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

/** `column=eq.value` for each of the columns. */
export function rowFilter(columns: readonly string[], row: Row): string[] {
  return columns.map((name) => param(name, row[name] === null ? 'is.null' : `eq.${String(row[name])}`));
}

/** Why any success would be a leak, where the catalogue gives the role nothing. */
export function refusal(
  relation: Relation,
  role: Role,
  verb: 'select' | 'insert' | 'update' | 'delete',
  columns: readonly string[] = [],
): string | undefined {
  if (role === 'none') return 'no token';
  const grants = relation.grants[databaseRole(role)];
  const granted = grants?.[verb];
  const allowed = Array.isArray(granted)
    ? columns.length > 0
      ? columns.every((name) => granted.includes(name))
      : granted.length > 0
    : granted === true;
  if (allowed) return undefined;
  const what =
    Array.isArray(granted) && granted.length > 0 && columns.length > 0
      ? `${verb.toUpperCase()} (${columns.filter((name) => !granted.includes(name)).join(', ')})`
      : verb.toUpperCase();
  return `no grant of ${what} to ${databaseRole(role)}`;
}

export interface Writing {
  verb: Verb;
  family: Family;
  title: string;
  attack: Omit<Call, 'door' | 'schema' | 'token'>;
  twin?: Omit<Call, 'door' | 'schema' | 'token'> | undefined;
  /** The same on a row of one's own. */
  control?: Omit<Call, 'door' | 'schema' | 'token'> | undefined;
  /** Taken back when it has been proved. */
  undo?: Call[];
  refused?: string | undefined;
  mayTouchNothing?: boolean;
}

/** A write at another's row, proved by the same on the attacker's own; where its role may not, by the owner's. */
export function writingProbe(relation: Relation, role: Role, door: Door, writing: Writing): Probe {
  const place = { door, schema: relation.schema };
  const own = isTenantRole(role) ? (attackerToken(role) as string) : 'A_owner';
  const { control, twin, refused, undo, mayTouchNothing } = writing;
  return {
    relation: nameOf(relation),
    verb: writing.verb,
    role,
    family: writing.family,
    door,
    title: writing.title,
    attack: { ...place, ...writing.attack, token: attackerToken(role) },
    ...(control
      ? {
          control: {
            call: { ...place, ...control, token: own },
            ...(undo ? { after: undo } : {}),
            ...(own === 'A_owner' ? {} : { fallback: { ...place, ...control, token: 'A_owner' } }),
          },
        }
      : {}),
    ...(twin && !refused ? { twin: { ...place, ...twin, token: attackerToken(role) } } : {}),
    ...(refused ? { refused } : {}),
    ...(mayTouchNothing ? { mayTouchNothing } : {}),
    watch: [nameOf(relation)],
  };
}
