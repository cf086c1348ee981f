/** What is taken of a log line of ours. */
interface Said {
  level: number;
  msg?: string;
  err?: { message?: string; hint?: string };
}

const LINES = 8;
const WARN = 40;

function parse(line: string): Said | string {
  if (!line.startsWith('{')) return line;
  try {
    const said = JSON.parse(line) as Said;
    return typeof said.level === 'number' ? said : line;
  } catch {
    return line;
  }
}

const sentence = ({ msg, err }: Said) => [msg, err?.message].filter(Boolean).join(': ');

/** The last lines that a child printed, for people: of its log, what went wrong and what to do, without the rest of each line. */
export function lastWords(lines: readonly string[]): { text: string; hint: string | undefined } {
  const told = lines.map(parse).filter((said) => typeof said === 'string' || said.level >= WARN);
  const texts = told.map((said) => (typeof said === 'string' ? said : sentence(said)));
  const hints = told.map((said) => (typeof said === 'string' ? undefined : said.err?.hint));
  return { text: texts.slice(-LINES).join('\n'), hint: hints.findLast((hint) => hint !== undefined) };
}
