import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse';

/** Reads the file with csv-parse and does nothing with it: what validation is measured against. */
const path = process.argv[2] as string;
const started = performance.now();
let records = 0;
const parser = createReadStream(path).pipe(parse());
parser.on('readable', () => {
  while (parser.read() !== null) records++;
});
await new Promise((resolve, reject) => parser.on('end', resolve).on('error', reject));
const seconds = (performance.now() - started) / 1000;
process.stdout.write(JSON.stringify({ seconds, rss_mb: process.resourceUsage().maxRSS / 1024, rows: records - 1 }));
