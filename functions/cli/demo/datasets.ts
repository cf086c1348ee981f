import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RowhouseError } from '../../errors.ts';
import { packageRoot } from '../../paths.ts';

export interface Dataset {
  file: string;
  /** Input of the csv.validate job, without its file. */
  rules: Record<string, unknown>;
}

const latitude = { name: 'latitude', type: 'number', required: true, min: 24, max: 72 };
const longitude = { name: 'longitude', type: 'number', required: true, min: -180, max: -66 };
const state = { name: 'state', type: 'string', required: true, pattern: '^[A-Z]{2}$' };

/** Public data of the npm package vega-datasets, and rules that it mostly keeps: the continental US, Alaska, Hawaii excluded. */
export const DATASETS: readonly Dataset[] = [
  {
    file: 'airports.csv',
    rules: {
      repair: true,
      columns: [
        { name: 'iata', type: 'string', required: true, pattern: '^[0-9A-Z]{3,4}$', unique: true },
        { name: 'name', type: 'string', required: true, max_length: 40 },
        { name: 'city', type: 'string', required: true },
        state,
        { name: 'country', type: 'string', enum: ['USA'] },
        latitude,
        longitude,
      ],
    },
  },
  {
    file: 'zipcodes.csv',
    rules: {
      repair: true,
      deduplicate: true,
      columns: [
        { name: 'zip_code', type: 'string', required: true, pattern: '^[0-9]{5}$', unique: true },
        latitude,
        longitude,
        { name: 'city', type: 'string', required: true, max_length: 25 },
        state,
        { name: 'county', type: 'string', required: true },
      ],
    },
  },
];

/**
 * Where a dataset is on this machine.
 * @throws RowhouseError dataset_missing
 */
export function datasetPath(file: string): string {
  const path = join(packageRoot, 'node_modules', 'vega-datasets', 'data', file);
  if (existsSync(path)) return path;
  throw new RowhouseError('dataset_missing', {
    detail: `${file} comes with the development dependency vega-datasets, which is not installed`,
    hint: 'Run: npm ci',
  });
}
