import type { Finding, ProveReport } from '../types.ts';

const escapeText = (text: string) =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 has no way to write them
    .replace(/[\u0000-\u0008\u000B\u000C\u000E-\u001F]/g, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

function failure({ kind, at, detail, curl }: Finding): string {
  return `      <failure type="${kind}" message="${escapeText(`${at}: ${detail}`)}">${escapeText(curl ?? '')}</failure>\n`;
}

/** JUnit XML: a suite for each relation, a case for each cell of the matrix, and one for what belongs to no cell. */
export function junitReport(report: ProveReport): string {
  const placed = new Set<Finding>();
  const suites = [...new Set(report.cells.map(({ relation }) => relation))].map((relation) => {
    const cases = report.cells
      .filter((cell) => cell.relation === relation)
      .map(({ verb, role, family, probes }) => {
        const own = report.findings.filter(({ at }) => at.startsWith(`${relation} · ${verb} · ${role} · ${family}`));
        for (const finding of own) placed.add(finding);
        return `    <testcase classname="${escapeText(relation)}" name="${escapeText(`${verb} · ${role} · ${family} (${probes} probes)`)}">\n${own.map(failure).join('')}    </testcase>\n`;
      });
    return `  <testsuite name="${escapeText(relation)}" tests="${cases.length}">\n${cases.join('')}  </testsuite>\n`;
  });
  const rest = report.findings.filter((finding) => !placed.has(finding));
  const schema = `  <testsuite name="schema" tests="1">\n    <testcase classname="schema" name="what is exposed can be filled and is what is granted">\n${rest.map(failure).join('')}    </testcase>\n  </testsuite>\n`;
  const tests = report.cells.length + 1;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="rowhouse prove" tests="${tests}" failures="${report.findings.length}" time="${report.seconds}">\n${suites.join('')}${schema}</testsuites>\n`;
}
