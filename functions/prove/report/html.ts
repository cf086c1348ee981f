import type { ProveReport } from '../types.ts';
import { isClean } from './json.ts';
import { COLUMNS, matrixRows } from './rows.ts';

const escapeText = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const STYLE = `
  :root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
  h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
  .figures { display: flex; gap: 2rem; flex-wrap: wrap; margin: 1rem 0; } .figures b { display: block; font-size: 1.6rem; }
  .scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); } td.n { text-align: right; }
  .bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); } .noted { text-decoration: underline dotted; }
  article { border-left: 3px solid var(--bad); padding: .2rem 1rem; margin: 1rem 0; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .5rem; border-radius: 4px; }`;

/** One file that needs nothing else: figures, findings, and the matrix by family. */
export function htmlReport(report: ProveReport): string {
  const clean = isClean(report);
  const figures = [
    ['probes', report.probes],
    ['requests', report.requests],
    ['leaks', report.leaks],
    ['uncovered', report.uncovered],
    ['seconds', report.seconds],
    ['seed', report.seed],
  ];
  const rows = matrixRows(report, true).map(({ relation, verb, family, cells }) => {
    const columns = cells.map(
      ({ text, bad, notes }) =>
        `<td class="n${bad ? ' bad' : ''}">${notes.length > 0 ? `<span class="noted" title="${escapeText(notes.join('; '))}">${escapeText(text)}</span>` : escapeText(text)}</td>`,
    );
    return `<tr><td>${escapeText(relation)}</td><td>${escapeText(verb)}</td><td>${escapeText(family ?? '')}</td>${columns.join('')}</tr>`;
  });
  const findings = report.findings.map(
    ({ kind, at, detail, curl }) =>
      `<article><b class="bad">${escapeText(kind)}</b> ${escapeText(at)}<br>${escapeText(detail)}${curl ? `<pre>${escapeText(curl)}</pre>` : ''}</article>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>rowhouse prove: ${clean ? 'clean' : `${report.findings.length} findings`}</title>
<style>${STYLE}</style>
<h1>rowhouse prove: <span class="${clean ? 'good' : 'bad'}">${clean ? 'nothing gave way' : `${report.findings.length} findings`}</span></h1>
<div class="figures">${figures.map(([name, value]) => `<div><b>${value}</b>${name}</div>`).join('')}</div>
${findings.length > 0 ? `<h2>Findings</h2>\n${findings.join('\n')}` : ''}
<h2>Coverage</h2>
<p>Probes by role. Underlined: there is nothing to allow there, and why; it was attacked all the same, where there is anything to attack.</p>
<div class="scroll"><table>
<tr><th>relation</th><th>verb</th><th>vector</th>${COLUMNS.map((role) => `<th>${role}</th>`).join('')}</tr>
${rows.join('\n')}
</table></div>
</html>
`;
}
