import pg from 'pg';
import { SOURCES } from './context.ts';
import { POOL } from './fork.ts';
import { ordinaryStore } from './ordinary.ts';
import { serve } from './serve.ts';
import { tunedStore } from './tuned.ts';

// fastify and pg. node hand-written.ts <rls|claims|plain>[Tuned] <database URL> <JWKS>

const [mode = '', connectionString, keys = ''] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString, ...POOL });
const source = SOURCES[mode.replace('Tuned', '') as keyof typeof SOURCES];
await serve(mode.endsWith('Tuned') ? tunedStore(pool, source) : ordinaryStore(pool, source), keys);
