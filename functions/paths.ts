import { fileURLToPath } from 'node:url';

/** The folder of package.json: what the project ships is found from here, wherever a command is run. */
export const packageRoot: string = fileURLToPath(new URL('..', import.meta.url));
