import { barText, verdictOf } from '../bars.ts';
import type { Result, Run } from '../result.ts';
import { describeBusy, describeMachine, describeVersions, figureText } from '../results/describe.ts';
import { escaped } from './escaped.ts';
import { sampleFigures } from './samples.ts';
import { STYLE } from './style.ts';

/** A page about one run that needs no network and no script. */
export function renderPage(result: Result): string {
  const { run, ...figures } = result;
  const busy = describeBusy(run.machine);
  const parts = [
    `<h1>${escaped(run.title)}</h1>`,
    `<p>${escaped(`${run.at.slice(0, 10)}${run.quick ? ', quick' : ''}, ${run.seconds} s. ${describeMachine(run.machine)}`)}</p>`,
    busy === '' ? '' : `<p class="missed">${escaped(busy)}</p>`,
    figureTable(figures, run),
    `<h2>Table</h2>`,
    table(run.head, run.rows),
    ...run.notes.map((note) => `<p>${escaped(note)}</p>`),
    sampleFigures(run.samples ?? {}),
    plans(run),
    `<footer><p>${escaped(describeVersions(run.versions))}</p></footer>`,
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(run.title)}</title><style>${STYLE}</style></head>
<body>
${parts.join('\n')}
</body></html>
`;
}

function figureTable(figures: Record<string, unknown>, { bars = {} }: Run): string {
  const rows = Object.entries(figures).map(([key, figure]) => {
    const bar = bars[key];
    const verdict = bar ? verdictOf(figure, bar) : '';
    const judged = bar
      ? `<td>${escaped(barText(bar))}</td><td class="${verdict}">${verdict}</td>`
      : '<td></td><td></td>';
    return `<tr><td><code>${escaped(key)}</code></td><td>${escaped(figureText(figure))}</td>${judged}</tr>`;
  });
  return `<h2>Figures</h2><div class="wide"><table><tr><th>key</th><th>figure</th><th>bar</th><th></th></tr>${rows.join('')}</table></div>`;
}

function table(head: readonly string[], rows: readonly (string | number)[][]): string {
  const line = (cells: readonly (string | number)[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="wide"><table>${line(head, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table></div>`;
}

function plans({ plans = {} }: Run): string {
  const all = Object.entries(plans).map(([name, plan]) => {
    const [summary = ''] = plan.split('\n');
    return `<details><summary>${escaped(name)}: ${escaped(summary)}</summary><pre>${escaped(plan)}</pre></details>`;
  });
  return all.length > 0 ? `<h2>Plans</h2>${all.join('')}` : '';
}
