/**
 * The environment for programs of the stack: this process's, without what would redirect them. libpq reads PG*
 * (PGHOST, PGSSLMODE…), PostgREST reads PGRST_* in preference to its file, and NODE_OPTIONS of a debugger is not theirs.
 */
export function programEnvironment(additions: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^PG[A-Z_]+$/.test(name) && name !== 'NODE_OPTIONS');
  return { ...Object.fromEntries(kept), ...additions };
}
