/** What both ask for. Nothing is kept: a cached answer would take nothing from anybody. */
export const PATH = '/v1/files?select=id,name,size,status,created_at&order=created_at.desc,id.desc&limit=20';

export const headersOf = (token: string) => ({ authorization: `Bearer ${token}`, 'cache-control': 'no-store' });
