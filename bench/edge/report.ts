import type { BenchReport } from '../report.ts';
import { ratioOf, type Sample } from '../rounds.ts';
import { median } from '../statistics.ts';
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

const BARS = {
  uncached_vs_direct: { atLeast: 0.8 },
  uncached_vs_rls_service: { atLeast: 0.95 },
  hit_vs_direct: { atLeast: 8 },
  hit_vs_plain_service: { atLeast: 3 },
  hit_vs_plain_service_tuned: { atLeast: 3 },
  edge_rss_mb: { atMost: 200 },
};

/** @param missing why there is no HAProxy */
export function report(samples: Map<Side, Sample[]>, memory: Memory, missing: string | undefined): BenchReport {
  const ratio = (side: SideName, to: SideName) => ratioOf(samples, side, to)?.median ?? null;
  return {
    title: 'What does the edge cost, and what does its cache bring?',
    head: ['requests per second', 'median', 'slowest round', 'fastest', 'to direct'],
    rows: [...samples].map(([{ name }, taken]) => {
      const rates = taken.map(({ requestsPerSecond }) => requestsPerSecond);
      const shown = [median(rates), Math.min(...rates), Math.max(...rates)].map((rate) => Math.round(rate));
      return [TITLES[name], ...shown, ratio(name, 'direct') ?? ''];
    }),
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
    bars: BARS,
    samples: Object.fromEntries([...samples].map(([{ name }, taken]) => [TITLES[name], taken])),
  };
}
