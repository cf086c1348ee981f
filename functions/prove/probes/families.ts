import type { Relation } from '../catalogue.ts';
import type { Forgery } from '../forge.ts';
import type { Lab } from '../lab.ts';
import type { Family, Probe, Role } from '../types.ts';
import { deleteProbes, deleteSweeps } from './delete.ts';
import { type EmbedPath, embedProbes } from './embed.ts';
import { filterProbes } from './filter.ts';
import { headerProbes } from './header.ts';
import { downgradeProbes, insertProbes } from './insert.ts';
import { foreignKeyProbes, uniqueInsertProbes, uniqueUpdateProbes } from './oracle.ts';
import { payloadProbes } from './payload.ts';
import { orderProbes, readProbes } from './read.ts';
import { countProbes, mediaProbes, rangeProbes } from './shape.ts';
import { tokenProbes } from './token.ts';
import { moveProbes, ownRows, updateProbes, updateSweeps } from './update.ts';
import { upsertProbes } from './upsert.ts';

/** The probes of a family. `nothing`: why there is none to make, whoever asks. */
export interface Made {
  probes: Probe[];
  nothing?: string;
}

/** When a family's probes run: a sweep leaves nothing of A's to write to. */
export type Phase = 'reads' | 'writes' | 'deletes' | 'sweeps';

/** What was found out of a relation before its probes are made. */
export interface Findings {
  paths: readonly EmbedPath[];
  upserts: boolean;
  forgeries: readonly Forgery[];
}

type Maker = [verb: 'select' | 'insert' | 'update' | 'delete', family: Family, phase: Phase, make: () => Made];

/** Every way of attacking a relation that there is. */
export function familiesOf(lab: Lab, relation: Relation, role: Role, found: Findings): Maker[] {
  const only = (make: () => Probe[]) => () => ({ probes: make() });
  const inserts = (family: Family) => insertProbes(lab, relation, role).filter((probe) => probe.family === family);
  const sweeps = (family: Family) => updateSweeps(lab, relation, role).filter((probe) => probe.family === family);
  const downgraded = () => (role === 'viewer' ? downgradeProbes(lab, relation) : []);
  const spare = ownRows(lab, relation)[1] ?? ownRows(lab, relation)[0] ?? {};
  return [
    ['select', 'read', 'reads', only(() => readProbes(lab, relation, role))],
    ['select', 'filter', 'reads', only(() => filterProbes(lab, relation, role))],
    ['select', 'order', 'reads', only(() => orderProbes(lab, relation, role))],
    ['select', 'embed', 'reads', only(() => embedProbes(lab, relation, role, found.paths))],
    ['select', 'count', 'reads', only(() => countProbes(lab, relation, role))],
    ['select', 'range', 'reads', only(() => rangeProbes(lab, relation, role))],
    ['select', 'media', 'reads', only(() => mediaProbes(lab, relation, role))],
    ['select', 'token', 'reads', only(() => tokenProbes(lab, relation, role, found.forgeries))],
    ['select', 'header', 'reads', only(() => headerProbes(lab, relation, role))],
    ['insert', 'tenant', 'writes', only(() => [...inserts('tenant'), ...downgraded()])],
    ['insert', 'bulk', 'writes', only(() => inserts('bulk'))],
    ['insert', 'upsert', 'writes', only(() => upsertProbes(lab, relation, role, found.upserts))],
    ['insert', 'foreign key', 'writes', () => foreignKeyProbes(lab, relation, role)],
    ['insert', 'unique', 'writes', () => uniqueInsertProbes(lab, relation, role)],
    ['insert', 'payload', 'writes', only(() => payloadProbes(lab, relation, role))],
    ['update', 'row', 'writes', only(() => updateProbes(lab, relation, role))],
    ['update', 'move', 'writes', only(() => moveProbes(lab, relation, role))],
    ['update', 'unique', 'writes', () => uniqueUpdateProbes(lab, relation, role, spare)],
    ['delete', 'row', 'deletes', only(() => deleteProbes(lab, relation, role))],
    ['update', 'row', 'sweeps', only(() => sweeps('row'))],
    ['update', 'move', 'sweeps', only(() => sweeps('move'))],
    ['delete', 'row', 'sweeps', only(() => deleteSweeps(relation, role))],
  ];
}
