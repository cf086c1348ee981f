import { until } from '../../functions/stack/until.ts';
import { type HttpResponse, http } from './http.ts';

export interface Job {
  tenant_id: string;
  id: string;
  type: string;
  status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  attempts: number;
  progress: Record<string, number>;
  result: Record<string, unknown> | null;
  error: { code: string; message: string } | null;
  started_at: string | null;
  finished_at: string | null;
}

export interface Problem {
  code: string;
}

/** The jobs API of one tenant. */
export function jobsOf(api: string, token: string) {
  async function get(id: string): Promise<Job> {
    const { body } = await http<Job[]>(`${api}/jobs?id=eq.${id}`, { token });
    const [job] = body;
    if (!job) throw new Error(`no job ${id} is visible to this token`);
    return job;
  }

  return {
    submit: (type: string, input: unknown, idempotencyKey?: string): Promise<HttpResponse<Job[]>> =>
      http<Job[]>(`${api}/jobs`, {
        token,
        headers: { prefer: 'return=representation' },
        body: { type, input, ...(idempotencyKey ? { idempotency_key: idempotencyKey } : {}) },
      }),
    /** Submits and returns the id. */
    async start(type: string, input: unknown): Promise<string> {
      const { status, body } = await this.submit(type, input);
      const id = body[0]?.id;
      if (status !== 201 || !id) throw new Error(`submitting answered ${status}: ${JSON.stringify(body)}`);
      return id;
    },
    get,
    /** The job as soon as it has one of the statuses. */
    async reaches(id: string, statuses: Job['status'][], timeoutMs = 15_000): Promise<Job> {
      let job = await get(id);
      const reached = await until(
        async () => {
          job = await get(id);
          return statuses.includes(job.status);
        },
        { timeoutMs },
      );
      if (!reached) throw new Error(`job ${id} is ${job.status}, not ${statuses.join(' or ')}: ${JSON.stringify(job)}`);
      return job;
    },
    cancel: <Body = Job[]>(id: string) => http<Body>(`${api}/rpc/cancel_job`, { token, body: { id } }),
    retry: <Body = Job[]>(id: string) => http<Body>(`${api}/rpc/retry_job`, { token, body: { id } }),
    async findings(id: string): Promise<{ ordinal: number; message: string }[]> {
      const url = `${api}/job_findings?job_id=eq.${id}&order=ordinal&select=ordinal,message`;
      return (await http<{ ordinal: number; message: string }[]>(url, { token })).body;
    },
  };
}

export type Jobs = ReturnType<typeof jobsOf>;
