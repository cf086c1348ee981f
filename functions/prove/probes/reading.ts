import { nameOf, type Relation } from '../catalogue.ts';
import { type Lab, victimValues } from '../lab.ts';
import type { Call, Control, Door, Family, Probe, Role } from '../types.ts';
import { attackerToken, pathTo, refusal, rightfulToken } from './ask.ts';

export interface Reading {
  family: Family;
  title: string;
  method?: string;
  headers?: Record<string, string>;
  /** Of the path, for what B has. */
  query: string[];
  /** The same for what nobody has. */
  twinQuery?: string[] | undefined;
  /** Nobody gets an answer to this: only the attack is made. */
  uncontrolled?: boolean;
  refused?: string | undefined;
  /** What B is shown; default any of its values. */
  shows?: readonly string[] | null;
  /** The attack alone carries these. */
  attackHeaders?: Record<string, string>;
  attackToken?: string;
  schema?: string;
}

/** A read by somebody without a right to the answer, proved by somebody with it. */
export function readingProbe(lab: Lab, relation: Relation, role: Role, door: Door, reading: Reading): Probe {
  const { family, title, method = 'GET', query, twinQuery, headers } = reading;
  const call = (token: string | null, of = query): Call => ({
    door,
    method,
    schema: relation.schema,
    path: pathTo(relation, ...of),
    token,
    ...(headers ? { headers } : {}),
  });
  const noGrant = refusal(relation, role, 'select');
  const refused = reading.refused ?? noGrant;
  const values = victimValues(lab, relation);
  const shows =
    reading.shows === undefined
      ? values.length > 0 && method === 'GET'
        ? values
        : undefined
      : (reading.shows ?? undefined);
  const rightfulAsker = rightfulToken(relation, role);
  const control: Control = {
    call: call(rightfulAsker),
    ...(shows ? { shows } : {}),
    // Some rows are for the higher roles of their tenant alone.
    ...(rightfulAsker.startsWith('B_') && rightfulAsker !== 'B_owner' ? { fallback: call('B_owner') } : {}),
  };
  const attack = call(reading.attackToken ?? attackerToken(role));
  if (reading.attackHeaders) attack.headers = { ...headers, ...reading.attackHeaders };
  // The operator has a right to the directory: what is proved is that it says no more than that.
  const rightful = role === 'operator' && !noGrant;
  return {
    relation: nameOf(relation),
    verb: 'select',
    role,
    family,
    door,
    title,
    attack,
    ...(reading.uncontrolled ? {} : { control }),
    ...(refused ? { refused } : {}),
    ...(rightful ? { directoryAllowed: true } : {}),
    ...(twinQuery && !refused && !rightful ? { twin: { ...attack, path: pathTo(relation, ...twinQuery) } } : {}),
  };
}
