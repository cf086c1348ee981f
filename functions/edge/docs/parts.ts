import type { Json } from './swagger.ts';

export const problem = { $ref: '#/components/responses/Problem' };
export const bearer = [{ bearer: [] }];
export const content = (schema: Json) => ({ content: { 'application/json': { schema } } });
