import type { World } from '../world.ts';
import type { RuleFamily } from './families.ts';

/** A login whose session keeps, or tries to break, a rule. */
export type Login = 'rowhouse_migrator' | 'authenticator' | 'rowhouse_worker' | 'rowhouse_edge';

/** What rules lean on: the throw-away tenants, tokens made for them alone, and rows of A's in known states. */
export interface RuleFacts {
  world: World;
  /** By what is wrong with them, or what they are for. */
  tokens: ReadonlyMap<string, string>;
  /** Whether this server protects the seal's variable; where not, each statement verifies the token anew. */
  protected: boolean;
  rows: Readonly<Record<'queued' | 'running' | 'pending' | 'stored', string>>;
}

/** A session that a rule is tried in. Nothing that it does stays. */
export interface Acting {
  facts: RuleFacts;
  /** What has to work for the rule to say anything. */
  ok<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /**
   * What has to be refused.
   * @param told `code` or `code: details` of a typed error; SQLSTATE, or SQLSTATE and the constraint, or its message, of any other
   */
  refused(told: string, sql: string, values?: readonly unknown[]): Promise<void>;
  /** What has to be so, after what was done. */
  same(found: unknown, wanted: unknown, what: string): void;
  /** Seals for a token of the world, or of the facts, and takes a role where one is given. */
  enter(token: string, role?: string): Promise<void>;
  /** Seals with the login's own service token, for A. */
  serve(): Promise<void>;
  /** Does something past forced row-level security, under which the owner is as well: it would answer first. */
  unforced(table: string, work: () => Promise<void>): Promise<void>;
  /** Does something and takes it back, the seal included. */
  aside(work: () => Promise<void>): Promise<void>;
}

/** Something that the reference schema promises beside isolation, and that the catalogue alone does not tell. */
export interface Rule {
  /** The relation or function that keeps it, as the catalogue calls it. */
  about: string;
  family: RuleFamily;
  title: string;
  login: Login;
  isolation?: 'repeatable read';
  /** Can be seen only after a commit; it writes nothing. */
  commits?: boolean;
  /** Holds only where the seal's variable is protected. */
  needsProtection?: boolean;
  check(acting: Acting): Promise<void>;
}

/** What a table takes no row of: the constraint, or the SQLSTATE alone where several may be first, and a statement that breaks it. */
export type Refusals = readonly [told: string, sql: (facts: RuleFacts) => string][];

/** What a role may write of a relation. */
export interface Writable {
  /** Where this is left open, reading is another rule's. */
  select?: boolean;
  insert?: readonly string[];
  update?: readonly string[];
  delete?: boolean;
  /** Verbs that the view cannot do for anyone: that is what is said of them first. */
  impossible?: readonly string[];
  /** Columns that the view makes itself, so that nobody can write them. */
  computed?: readonly string[];
}
