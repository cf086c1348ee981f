import type { Change, Facts } from '../wall.ts';

export type Level = 'safe' | 'review' | 'dangerous';

/** What a kind of change means for the wall. The first rule that fits a change judges it. */
export interface Rule {
  id: string;
  kinds: readonly string[];
  change: Change['change'];
  /** Only for changes of this fact. */
  fact?: string;
  when?: (change: Change) => boolean;
  level: Level;
  /** One sentence: what can happen, or why nothing can. */
  why: string;
}

/** Whoever has no proven tenant, or whom nobody may become. */
const STRANGERS = new Set(['PUBLIC', 'anon', 'authenticator']);
/** Own and guard; no login and no request works as they do. */
const INTERNAL = new Set(['rowhouse_owner', 'rowhouse_sealer', 'rowhouse_dispatcher']);

export const isStranger = (role: unknown): boolean => STRANGERS.has(String(role));
export const isInternal = (role: unknown): boolean => INTERNAL.has(String(role));

export const words = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
export const gained = ({ before, after }: Change): string[] =>
  words(after).filter((word) => !words(before).includes(word));
export const lost = ({ before, after }: Change): string[] =>
  words(before).filter((word) => !words(after).includes(word));
export const turned =
  (value: boolean) =>
  ({ after }: Change): boolean =>
    after === value;
export const isBehindTheWall = ({ rls, forced }: Facts): boolean => rls === true && forced === true;
