import { bookIndex, readBook } from '../migrate/book.ts';
import type { Finding } from './finding.ts';

export interface Location {
  /** From the root of the project. */
  file: string;
  line: number;
}

/** Where nothing of the book is named: roles, the server, what was made outside it. */
const ELSEWHERE: Location = { file: 'sql/index.sql', line: 1 };

/**
 * Says in which line of the book the object of a finding is made: the object with the longest name that the finding names.
 * @throws RowhouseError book_invalid
 */
export async function readLocations(index: string = bookIndex): Promise<(finding: Finding) => Location> {
  const places = (await readBook(index))
    .filter(({ kind }) => kind !== 'grants' && kind !== 'data')
    .map(({ identity, file, line }) => ({ name: identity.replaceAll(', ', ','), file, line }))
    .toSorted((a, b) => b.name.length - a.name.length);
  return ({ object, metadata }) => {
    const named = ({ name }: { name: string }) => object.includes(name);
    const related = ({ name }: { name: string }) => name === metadata.relation || name === metadata.function;
    const { file, line } = places.find(named) ?? places.find(related) ?? ELSEWHERE;
    return { file, line };
  };
}
