import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../paths.ts';
import type { Finding } from './finding.ts';
import type { Lint } from './lints.ts';
import type { Location } from './locate.ts';
import type { Waived } from './waivers.ts';

type Locate = (finding: Finding) => Location;

const COMMANDS = { error: 'error', warning: 'warning', info: 'notice' } as const;
const SARIF_LEVELS = { error: 'error', warning: 'warning', info: 'note' } as const;

const escapeData = (text: string) => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const escapeProperty = (text: string) => escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

/** One workflow command for each finding: what GitHub Actions shows beside the line of a pull request. */
export function githubReport(findings: Finding[], locate: Locate): string {
  return findings
    .map((finding) => {
      const { file, line } = locate(finding);
      const title = escapeProperty(`${finding.lint}: ${finding.title}`);
      const message = escapeData(`${finding.object}: ${finding.detail}\n${finding.remedy}\n${finding.docs}`);
      return `::${COMMANDS[finding.level]} file=${escapeProperty(file)},line=${line},title=${title}::${message}\n`;
    })
    .join('');
}

function rule({ lint, level, title, why, docs }: Lint) {
  return {
    id: lint,
    name: lint,
    shortDescription: { text: title },
    fullDescription: { text: why },
    help: { text: `${why} See ${docs}.` },
    defaultConfiguration: { level: SARIF_LEVELS[level] },
  };
}

function result(finding: Finding, ruleIndex: number, locate: Locate) {
  const { file, line } = locate(finding);
  return {
    ruleId: finding.lint,
    ...(ruleIndex >= 0 ? { ruleIndex } : {}),
    level: SARIF_LEVELS[finding.level],
    message: { text: `${finding.object}: ${finding.detail}. Remedy: ${finding.remedy}` },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: file, uriBaseId: '%SRCROOT%' }, region: { startLine: line } },
        logicalLocations: [{ fullyQualifiedName: finding.object }],
      },
    ],
    partialFingerprints: { 'lintObject/v1': `${finding.lint} ${finding.object}` },
  };
}

/** The log of this run in SARIF 2.1.0 (OASIS); what is waived is in it, suppressed. */
export function sarifReport(findings: Finding[], waived: Waived[], lints: Lint[], locate: Locate): object {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const index = (finding: Finding) => lints.findIndex(({ lint }) => lint === finding.lint);
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'rowhouse doctor', version, rules: lints.map(rule) } },
        results: [
          ...findings.map((finding) => result(finding, index(finding), locate)),
          ...waived.map((finding) => ({
            ...result(finding, index(finding), locate),
            suppressions: [{ kind: 'external', justification: finding.reason }],
          })),
        ],
      },
    ],
  };
}
