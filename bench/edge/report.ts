import { type BenchReport, median } from '../report.ts';
import type { Memory } from './memory.ts';
import type { Side, SideName } from './sides.ts';

const TITLES: Record<SideName, string> = {
  direct: 'PostgREST direct',
  uncached: 'through the edge, uncached',
  mixed: 'through the edge, 75 % hits',
  hit: 'through the edge, hits',
  haproxy: 'through HAProxy, plain',
  rls: 'fastify + pg, same wall',
  rlsTuned: 'fastify + pg, same wall, tuned',
  claimsTuned: 'fastify + pg, RLS on claims, tuned',
  plain: 'fastify + pg, where tenant_id',
  plainTuned: 'fastify + pg, where tenant_id, tuned',
};

const round = (value: number) => Math.round(value * 1000) / 1000;

/** @param missing why there is no HAProxy */
export function report(measured: Map<Side, number[]>, memory: Memory, missing: string | undefined): BenchReport {
  const rates = Object.fromEntries([...measured].map(([{ name }, values]) => [name, values])) as Record<
    SideName,
    number[] | undefined
  >;
  /** Of each round by itself, since the machine is not as fast in one as in another. */
  const ratio = (side: SideName, to: SideName): number | null => {
    const ratios = rates[side]?.map((rate, nth) => rate / (rates[to]?.[nth] ?? Number.NaN));
    return ratios ? round(median(ratios)) : null;
  };
  return {
    title: 'What does the edge cost, and what does its cache bring?',
    head: ['requests per second', 'median', 'slowest round', 'fastest', 'to direct'],
    rows: [...measured].map(([{ name }, values]) => [
      TITLES[name],
      ...[median(values), Math.min(...values), Math.max(...values)].map((rate) => Math.round(rate)),
      ratio(name, 'direct') ?? '',
    ]),
    notes: [
      `The 20 newest files of 20 tenants in turn, 32 connections, load from the same machine. Ratios: medians of rounds.`,
      `The edge holds ${Math.round(memory.rssMb)} MB after lists of ${memory.tenants} tenants. See bench/edge/README.md.`,
      ...(missing ? [missing] : []),
    ],
    figures: {
      uncached_vs_direct: ratio('uncached', 'direct'),
      uncached_vs_rls_service: ratio('uncached', 'rls'),
      uncached_vs_rls_service_tuned: ratio('uncached', 'rlsTuned'),
      mixed_vs_direct: ratio('mixed', 'direct'),
      hit_vs_direct: ratio('hit', 'direct'),
      hit_vs_plain_service: ratio('hit', 'plain'),
      hit_vs_plain_service_tuned: ratio('hit', 'plainTuned'),
      haproxy_vs_direct: ratio('haproxy', 'direct'),
      uncached_vs_haproxy: ratio('uncached', 'haproxy'),
      edge_rss_mb: Math.round(memory.rssMb),
    },
  };
}
