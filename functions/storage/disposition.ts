/**
 * `attachment` with the name in both forms (RFC 6266): ASCII for old clients, UTF-8 percent-encoded (RFC 5987) for the rest.
 * Control characters, quotes and path separators cannot pass either form.
 */
export function contentDisposition(downloadName: string): string {
  const name = downloadName.toWellFormed().replace(/[\p{Cc}/\\]/gu, '_');
  const ascii = name.replace(/[^\x20-\x7e]|["%]/gu, '_');
  const utf8 = encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${ascii}"; filename*=UTF-8''${utf8}`;
}
