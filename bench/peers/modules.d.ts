// What the services use of packages that are installed on the first run of this bench: the project is type-checked without them.

declare module '@prisma/adapter-pg' {
  export class PrismaPg {
    constructor(
      config: { connectionString: string; max: number; idleTimeoutMillis: number },
      options: { statementNameGenerator?: (query: { sql: string }) => string },
    );
  }
}

declare module '@prisma/client' {
  interface Model {
    findMany(args: object): Promise<unknown[]>;
    findFirst(args: object): Promise<unknown>;
    count(args: object): Promise<unknown>;
    create(args: object): Promise<unknown>;
  }
  interface Operation {
    args: unknown;
    query(args: unknown): Promise<unknown>;
  }
  export class PrismaClient {
    constructor(options: { adapter: object });
    readonly files: Model;
    readonly jobs: Model;
    $executeRaw(text: TemplateStringsArray, ...values: unknown[]): Promise<number>;
    $transaction(operations: Promise<unknown>[]): Promise<unknown[]>;
    $extends(extension: {
      query: { $allModels: { $allOperations(operation: Operation): Promise<unknown> } };
    }): PrismaClient;
  }
}

declare module 'postgraphile' {
  export function postgraphile(preset: object): {
    createServ(adaptor: unknown): { addTo(server: import('node:http').Server): Promise<void> };
    getSchema(): Promise<object>;
  };
}

declare module 'postgraphile/adaptors/pg' {
  export function makePgService(options: {
    connectionString: string;
    schemas: readonly string[];
    poolConfig: { max: number; idleTimeoutMillis: number };
  }): object;
}

declare module 'postgraphile/grafserv/node' {
  export const grafserv: unknown;
}

declare module 'postgraphile/presets/amber' {
  export const PostGraphileAmberPreset: object;
}
