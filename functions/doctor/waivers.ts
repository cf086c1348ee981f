import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { RowhouseError } from '../errors.ts';
import { packageRoot } from '../paths.ts';
import type { Finding } from './finding.ts';

const words = z.string().trim().min(1);

/** Ours has no expiry: these exceptions are part of the design, and a test holds each against the reference schema. */
const exceptionSchema = z.strictObject({ lint: words, object: words, reason: words, expires: z.iso.date().optional() });
const waiverSchema = exceptionSchema.required({ expires: true });

/** One finding that is accepted: which, why, and until which day (inclusive, UTC). */
export type Waiver = z.infer<typeof exceptionSchema>;
export type Waived = Finding & { reason: string; expires: string | null };

export const WAIVERS_FILE = 'doctor.waivers.json';
const DAYS_ACCEPTED = 90;

/** What ships with Rowhouse: one reason for a list of objects. */
const exceptionsSchema = z.array(z.strictObject({ lint: words, reason: words, objects: z.array(words).nonempty() }));

export function readExceptions(): Waiver[] {
  const source = readFileSync(join(packageRoot, 'functions/doctor/exceptions.json'), 'utf8');
  return exceptionsSchema
    .parse(JSON.parse(source))
    .flatMap(({ lint, reason, objects }) => objects.map((object) => ({ lint, object, reason })));
}

/**
 * The waivers of a file; none where it is absent and not `required`.
 * @throws RowhouseError usage_invalid naming the entry that is not one
 */
export function readWaivers(file: string, required = false): Waiver[] {
  if (!required && !existsSync(file)) return [];
  const hint =
    'An array of {"lint": "0001_…", "object": "…", "reason": "…", "expires": "2027-01-31"}: see docs/lints/README.md.';
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new RowhouseError('usage_invalid', { detail: `${file}: ${(cause as Error).message}`, hint, cause });
  }
  const parsed = z.array(waiverSchema).safeParse(json);
  if (parsed.success) return parsed.data;
  const detail = parsed.error.issues.map((issue) => `${file}: ${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw new RowhouseError('usage_invalid', { detail, hint, cause: parsed.error });
}

const key = ({ lint, object }: { lint: string; object: string }) => `${lint} ${object}`;
const day = (time: Date) => time.toISOString().slice(0, 10);

/** Parts findings into those that stay open and those that a waiver accepts today; the rest are waivers that did not serve. */
export function applyWaivers(findings: Finding[], waivers: Waiver[], today: string = day(new Date())) {
  const found = new Set(findings.map(key));
  const expired = (waiver: Waiver) => waiver.expires !== undefined && waiver.expires < today;
  const valid = new Map(waivers.filter((waiver) => !expired(waiver)).map((waiver) => [key(waiver), waiver]));
  return {
    open: findings.filter((finding) => !valid.has(key(finding))),
    waived: findings.flatMap((finding): Waived[] => {
      const waiver = valid.get(key(finding));
      return waiver ? [{ ...finding, reason: waiver.reason, expires: waiver.expires ?? null }] : [];
    }),
    expired: waivers.filter((waiver) => expired(waiver) && found.has(key(waiver))),
    unused: waivers.filter((waiver) => !found.has(key(waiver))),
  };
}

function aboutWaiver(waiver: Waiver, lint: string, level: Finding['level'], title: string, detail: string): Finding {
  const rest = { remedy: '', docs: 'docs/lints/README.md', fix: 'hand' as const, metadata: { ...waiver } };
  return { lint, level, object: key(waiver), title, detail, ...rest };
}

/** Applies a file of waivers. One that has expired is a finding beside the one that it no longer covers; an unused one is an info. */
export function judge(
  findings: Finding[],
  waivers: Waiver[],
  today?: string,
): { findings: Finding[]; waived: Waived[] } {
  const { open, waived, expired, unused } = applyWaivers(findings, waivers, today);
  return {
    findings: [
      ...open,
      ...expired.map((waiver) =>
        aboutWaiver(
          waiver,
          'waiver_expired',
          'warning',
          'A waiver has expired',
          `on ${waiver.expires}: ${waiver.reason}`,
        ),
      ),
      ...unused.map((waiver) =>
        aboutWaiver(
          waiver,
          'waiver_unused',
          'info',
          'A waiver is not needed',
          'nothing is found that it would cover: remove it',
        ),
      ),
    ],
    waived,
  };
}

/**
 * Adds what is found now to a file of waivers, for 90 days. What is in it already is kept, unless it is of no use any more.
 * @returns how many were added
 */
export function acceptFindings(file: string, findings: Finding[], reason: string, now: Date = new Date()): number {
  const expires = day(new Date(now.getTime() + DAYS_ACCEPTED * 86_400_000));
  const { unused, expired } = applyWaivers(findings, readWaivers(file), day(now));
  const kept = readWaivers(file).filter(
    (waiver) => ![...unused, ...expired].some((other) => key(other) === key(waiver)),
  );
  const added = applyWaivers(findings, kept, day(now)).open.map(({ lint, object }) => ({
    lint,
    object,
    reason,
    expires,
  }));
  writeFileSync(file, `${JSON.stringify([...kept, ...added], null, 2)}\n`);
  return added.length;
}
