import type { Pool } from '../../functions/database.ts';
import type { LoadRequest } from '../load.ts';
import { issueTokens, tenantId } from './data.ts';
import { type GrowthTable, PARTITIONS, SHIPPED_PARTITIONS, SIZES, table } from './tables.ts';

export interface Side {
  name: string;
  title: string;
  table: GrowthTable;
  /** Whom it asks for, in this order. */
  tenants: readonly { id: string; token: string }[];
  requests: readonly LoadRequest[];
}

/** Spread over all, asked in turn: so many that a page is seldom found where the last request left it. */
const ASKED = 500;
/** Of each side: answers that are compared with the rows themselves. */
const CHECKED = 20;

const COLUMNS = 'id,name,size,status,created_at';

/** Ranks that are as far apart as can be, each once. */
const ranksOf = ({ tenants }: GrowthTable) => {
  const asked = Math.min(tenants, ASKED);
  return Array.from({ length: asked }, (_, nth) => 1 + Math.floor((nth * tenants) / asked));
};

/** Sizes at the shipped partitions, partitions at one size, the largest and the median tenant of Zipf's. */
export async function sidesOf(admin: Pool, quick: boolean): Promise<Side[]> {
  const sizes = quick ? SIZES.quick : SIZES.full;
  const largest = sizes[sizes.length - 1] as number;
  const zipf = table(largest, 'zipf');
  const partitioned = PARTITIONS.filter((partitions) => partitions !== SHIPPED_PARTITIONS);
  const described = (of: GrowthTable) => `${of.tenants.toLocaleString('en')} tenants, ${inThousands(of.rows)} rows`;
  const side = async (name: string, title: string, of: GrowthTable, ranks: readonly number[]): Promise<Side> => {
    const tokens = await issueTokens(admin, ranks);
    const path = `/${of.name}?select=${COLUMNS}&order=created_at.desc,id.desc&limit=20`;
    return {
      ...{ name, title, table: of },
      tenants: tokens.map((token, nth) => ({ id: tenantId(ranks[nth] as number), token })),
      requests: tokens.map((token) => ({ path, headers: { authorization: `Bearer ${token}` } })),
    };
  };
  return Promise.all([
    ...sizes.map((tenants) => {
      const of = table(tenants, 'uniform');
      return side(`tenants_${tenants}`, described(of), of, ranksOf(of));
    }),
    ...partitioned.map((partitions) => {
      const of = table(partitionedSize(quick), 'uniform', partitions);
      return side(`partitions_${partitions}`, `${described(of)}, ${partitions} partitions`, of, ranksOf(of));
    }),
    side('zipf_largest', `Zipf over ${described(zipf)}: the largest tenant`, zipf, [1]),
    side('zipf_median', 'the median tenant of these', zipf, [largest / 2]),
  ]);
}

/** Numbers of partitions are compared at this many tenants. */
const partitionedSize = (quick: boolean): number => (quick ? SIZES.quick[0] : SIZES.full[2]);

const inThousands = (rows: number) => (rows < 1e6 ? `${rows / 1000} k` : `${rows / 1e6} M`);

/** @throws Error unless every side answers with the tenant's 20 newest rows, to the byte as PostgreSQL writes them */
export async function checkAnswers(admin: Pool, origin: string, sides: readonly Side[]): Promise<void> {
  for (const { name, table: of, tenants, requests } of sides) {
    for (let nth = 0; nth < tenants.length; nth += Math.ceil(tenants.length / CHECKED)) {
      const { path = '', headers = {} } = requests[nth] ?? {};
      const answer = await fetch(`${origin}${path}`, { headers });
      const body = await answer.text();
      const { rows } = await admin.query<{ body: string }>(
        `select json_agg(newest)::text as body from (
           select ${COLUMNS} from app.${of.name} where tenant_id = $1 order by created_at desc, id desc limit 20) as newest`,
        [tenants[nth]?.id],
      );
      if (answer.status === 200 && body === rows[0]?.body && JSON.parse(body).length === 20) continue;
      throw new Error(
        `${name} answered ${answer.status}\n${body.slice(0, 300)}\nand has\n${rows[0]?.body?.slice(0, 300)}`,
      );
    }
  }
}
