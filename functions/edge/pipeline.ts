import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { Caller } from './caller.ts';
import type { TenantSettings } from './settings.ts';

/** What goes back to the client, before errors of PostgREST are put into the edge's own words. */
export interface Answer {
  status: number;
  headers: Record<string, string | string[]>;
  body: Readable | Buffer;
  /** From a replica: it may be older than what the follower knows. */
  fromReplica?: boolean;
}

/** One request on its way to PostgREST. */
export interface Exchange {
  request: FastifyRequest;
  id: string;
  method: string;
  /** The only schema that the request can reach. */
  schema: 'v1' | 'admin';
  prefix: string;
  /** Behind the prefix, as it was sent, query and all. */
  path: string;
  /** The client's. */
  headers: IncomingHttpHeaders;
  /** What PostgREST gets besides them, or instead of them. */
  forward: Record<string, string>;
  caller?: Caller;
  /** Of the caller's tenant. */
  settings?: TenantSettings;
  /** How long it waited for a place among the tenant's requests in flight. */
  queuedMs?: number;
  /** Reads the body, once, and keeps it: from then on it is forwarded as it was read. */
  body(): Promise<Buffer>;
  /** What body() gave, if it was called. */
  bodyRead?: Promise<Buffer>;
  /** Goes out with whatever answer, problems included. */
  replyHeaders: Record<string, string>;
}

export type Forward = (exchange: Exchange) => Promise<Answer>;

/** A step on the way: answers by itself, changes what the rest answers, or refuses by throwing a RowhouseError. */
export type Stage = (exchange: Exchange, next: () => Promise<Answer>) => Promise<Answer>;

/** The stages around `forward`, the first one outermost. */
export function compose(stages: readonly Stage[], forward: Forward): Forward {
  return stages.reduceRight<Forward>((next, stage) => (exchange) => stage(exchange, () => next(exchange)), forward);
}
