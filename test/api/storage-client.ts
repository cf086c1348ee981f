import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TestStack } from '../support/stack.ts';

/** A client of the edge's storage routes, for one tenant, and what its probes need to see. */
export type StorageClient = ReturnType<typeof storageClient>;

export interface Upload {
  file: { id: string; tenant_id: string };
  upload: { method: string; url: string; headers: Record<string, string>; expires_at: string };
}

export const text = 'id,name\n1,Ada\n';
export const announcement = { name: 'people.csv', content_type: 'text/csv', size: text.length };
export const digest = (body: string) => createHash('sha256').update(body).digest('hex');

/** Status and code of a refusal, which is always a problem document. */
export async function refusal(response: Response): Promise<[number, string]> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const problem = (await response.json()) as { status: number; code: string };
  expect(problem.status).toBe(response.status);
  return [response.status, problem.code];
}

/** @param owner a token of a member who may upload */
export function storageClient(stack: TestStack, owner: string) {
  function announce(token: string | undefined, body: unknown = announcement): Promise<Response> {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const headers = { 'content-type': 'application/json', ...authorization };
    return fetch(`${stack.edge}/storage/v1/uploads`, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  async function announced(terms: object = {}): Promise<Upload> {
    const response = await announce(owner, { ...announcement, ...terms });
    expect(response.status).toBe(201);
    return (await response.json()) as Upload;
  }

  function put({ upload }: Upload, body = text, url = upload.url): Promise<Response> {
    return fetch(url, { method: 'PUT', headers: { 'content-type': 'text/csv' }, body });
  }

  async function stored(terms: object = {}): Promise<Upload> {
    const upload = await announced(terms);
    expect((await put(upload)).status).toBe(201);
    return upload;
  }

  function fetchFile(token: string, id: string, redirect: 'manual' | 'follow' = 'manual'): Promise<Response> {
    return fetch(`${stack.edge}/storage/v1/files/${id}`, { redirect, headers: { authorization: `Bearer ${token}` } });
  }

  async function signedGet(id: string): Promise<string> {
    return (await fetchFile(owner, id)).headers.get('location') ?? '';
  }

  async function rowOf(id: string): Promise<unknown> {
    const query = `${stack.postgrest}/files?id=eq.${id}&select=status,size,sha256`;
    const response = await fetch(query, { headers: { authorization: `Bearer ${owner}` } });
    return ((await response.json()) as unknown[])[0];
  }

  /** Every file below the storage directory, half-written ones included. */
  async function listFiles(): Promise<string[]> {
    const entries = await readdir(stack.storageDirectory, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  }

  /** Runs an attack on an upload: nothing may be stored by it, and the rightful body still fits afterwards. */
  async function leavesNothing(upload: Upload, attack: () => Promise<void>): Promise<void> {
    const before = await listFiles();
    await attack();
    await expect.poll(listFiles).toEqual(before);
    expect(await rowOf(upload.file.id)).toMatchObject({ status: 'pending' });
    expect((await put(upload)).status).toBe(201);
    expect(await rowOf(upload.file.id)).toEqual({ status: 'stored', size: text.length, sha256: digest(text) });
  }

  /** Sends bytes as they are; resolves with what came back. @param end closes our side after the last byte */
  function sendRaw(bytes: string, end = false): Promise<string> {
    const { hostname, port } = new URL(stack.edge);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => (end ? socket.end(bytes) : socket.write(bytes)));
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      socket.on('close', () => resolve(answer));
      socket.on('error', reject);
    });
  }

  return { announce, announced, put, stored, fetchFile, signedGet, rowOf, listFiles, leavesNothing, sendRaw };
}

/** The bytes of a signed PUT, with these headers besides the ones that it always has. */
export function rawPut(url: string, headers: string[], body: string): string {
  const { pathname, search } = new URL(url);
  const head = [`PUT ${pathname}${search} HTTP/1.1`, 'Host: edge', 'Content-Type: text/csv', 'Connection: close'];
  return `${[...head, ...headers].join('\r\n')}\r\n\r\n${body}`;
}
