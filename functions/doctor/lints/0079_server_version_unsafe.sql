-- id: 0079
-- name: server_version_unsafe
-- level: error
-- fix: hand
-- title: This PostgreSQL has a known hole
-- why: CVE-2024-10976 reuses plans across roles and misses policies, CVE-2024-4317 and CVE-2025-8713 show samples of rows behind
--   policies, CVE-2026-2005 (pgcrypto) and CVE-2026-2006 (text functions) overrun memory.

-- To look at a server that you plan to move to: set rowhouse.server_version_num before the lints run.
select format('PostgreSQL %s.%s', server.version / 10000, server.version % 10000) as object,
  format('open to %s', string_agg(h.cve, ', ' order by h.cve)) as detail,
  format('select version(); -- install PostgreSQL %s.%s or newer', server.version / 10000, max(h.fixed)) as remedy,
  jsonb_build_object('cves', jsonb_agg(h.cve order by h.cve)) as metadata
from known_holes h
join (select coalesce(nullif(current_setting('rowhouse.server_version_num', true), ''),
  current_setting('server_version_num'))::integer as version) as server on server.version / 10000 = h.major and server.version % 10000 < h.fixed
group by server.version
