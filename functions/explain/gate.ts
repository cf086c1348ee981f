import { RowhouseError } from '../errors.ts';

export interface GateCheck {
  check: string;
  /** null: an earlier check failed, so that this one was not reached. */
  passed: boolean | null;
  sentence: string;
}

export interface Claims {
  tenant_id?: string;
  sub?: string;
  role?: string;
  tenant_role?: string;
  exp?: number;
  [claim: string]: unknown;
}

interface Step {
  check: string;
  holds: string;
  /** Whether the gate's refusal is this check's. */
  refused: (code: string, detail: string) => boolean;
  fails: (claims: Claims | undefined, now: number, detail: string) => string;
}

/** Claims may be anybody's text: nothing in them may steer a terminal. */
export const printable = (text: unknown): string => String(text).replaceAll(/\p{C}/gu, '\uFFFD');

const invalid = (pattern: RegExp) => (code: string, detail: string) => code === 'token_invalid' && pattern.test(detail);
const NEW_TOKEN = 'get a new token';

function ago(seconds: number): string {
  const units: [string, number][] = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
    ['second', 1],
  ];
  const [unit, size] = units.find(([, length]) => seconds >= length) ?? ['second', 1];
  const count = Math.max(1, Math.floor(seconds / size));
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
}

/** In the order of auth.verify_token() and auth.seal_for(): a refusal at one means that those before it held. */
const STEPS: readonly Step[] = [
  {
    check: 'form',
    holds: 'a compact JWS with the algorithm HS256',
    refused: invalid(/^(not a compact JWS|the header is not|the algorithm is not)/),
    fails: (_claims, _now, detail) => `${detail}: copy the whole token, three parts with dots between`,
  },
  {
    check: 'key',
    holds: 'its key is active or accepted',
    refused: invalid(/^the key is/),
    fails: () => `its key is unknown or retired: ${NEW_TOKEN}`,
  },
  {
    check: 'signature',
    holds: 'made with that key, unchanged since',
    refused: invalid(/^the signature/),
    fails: () => `it was changed, or made by somebody else: ${NEW_TOKEN}`,
  },
  {
    check: 'time',
    holds: 'valid now',
    refused: (code, detail) =>
      code === 'token_expired' || invalid(/^the token (never expires|is not valid yet)/)(code, detail),
    fails: (claims, now, detail) => {
      const late = typeof claims?.exp === 'number' && claims.exp <= now;
      return late ? `the token expired ${ago(now - Number(claims.exp))}: ${NEW_TOKEN}` : `${detail}: ${NEW_TOKEN}`;
    },
  },
  {
    check: 'issuer',
    holds: 'issued by rowhouse',
    refused: invalid(/^the issuer/),
    fails: () => `issued by another than rowhouse: ${NEW_TOKEN}`,
  },
  {
    check: 'audience',
    holds: 'meant for rowhouse',
    refused: invalid(/^the audience/),
    fails: () => `meant for another audience than rowhouse: ${NEW_TOKEN}`,
  },
  {
    check: 'claims',
    holds: 'subject, token id and a known role are there',
    refused: invalid(/^(sub or jti|an operator has no tenant|the role is unknown)/),
    fails: (_claims, _now, detail) => `${detail}: ${NEW_TOKEN}`,
  },
  {
    check: 'tenant',
    holds: 'the tenant exists and is active',
    refused: (code) => code === 'tenant_unknown' || code === 'tenant_suspended',
    fails: (claims) =>
      `the tenant ${printable(claims?.tenant_id ?? '')} does not exist or is suspended: ask the operator (rowhouse tenant list)`,
  },
  {
    check: 'membership',
    holds: 'the subject is a member, or a key that still opens the tenant',
    refused: (code) => code === 'membership_required' || code === 'api_key_invalid',
    fails: (claims) =>
      typeof claims?.key_id === 'string'
        ? `the API key ${printable(claims.key_id)} is revoked, expired or gone: ask an admin of the tenant for another`
        : claims?.role === 'operator'
          ? `${printable(claims.sub)} is not an operator: a row of auth.operators makes one`
          : `${printable(claims?.sub)} is not a member of ${printable(claims?.tenant_id)}: ask an admin of the tenant to add them`,
  },
];

/** The payload of a token, unverified; undefined where it is not JSON. Never the signature. */
export function decodeClaims(token: string): Claims | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return typeof claims === 'object' && claims !== null ? (claims as Claims) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Every check of the gate in order, from what it answered.
 * @param refusal what auth.enter() raised, or undefined when it let the token in
 * @param now the database's clock, in seconds
 * @throws the refusal itself where it is no check of the gate, such as a lost connection
 */
export function gateChecks(refusal: unknown, claims: Claims | undefined, now: number): GateCheck[] {
  const { code, detail = '' } = refusal instanceof RowhouseError ? refusal : { code: '' };
  const failed = refusal === undefined ? STEPS.length : STEPS.findIndex((step) => step.refused(code, detail));
  if (failed < 0) throw refusal;
  return STEPS.map(({ check, holds, fails }, index) => {
    if (index < failed) return { check, passed: true, sentence: holds };
    if (index === failed) return { check, passed: false, sentence: fails(claims, now, detail) };
    return { check, passed: null, sentence: 'not reached' };
  });
}
