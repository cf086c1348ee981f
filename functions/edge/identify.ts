import { RowhouseError } from '../errors.ts';
import type { ExchangeApiKey } from './bearer.ts';
import type { Callers } from './caller.ts';
import type { Stage } from './pipeline.ts';
import type { Settings } from './settings.ts';

export interface IdentifyParts {
  callers: Callers;
  settings: Settings;
  exchangeApiKey: ExchangeApiKey;
}

const BEARER = /^bearer +(\S+)$/i;
const API_KEY = /^rh_live_/;

/**
 * Finds out who asks and what their tenant may use. Whoever sends no token is refused here: nothing is read, looked up or forwarded
 * for them, and of OPTIONS, which passes no gate in the database, they learn nothing.
 */
export function identify({ callers, settings, exchangeApiKey }: IdentifyParts): Stage {
  return async (exchange, next) => {
    const { authorization } = exchange.headers;
    if (authorization === undefined) {
      throw new RowhouseError('token_required', { hint: 'Send an Authorization header: Bearer <token>' });
    }
    const credential = BEARER.exec(authorization)?.[1];
    if (credential === undefined) throw new RowhouseError('token_invalid', { detail: 'Not a bearer token.' });
    let token = credential;
    if (API_KEY.test(credential)) {
      const exchanged = exchangeApiKey(credential, exchange.request.ip);
      token = typeof exchanged === 'string' ? exchanged : await exchanged;
      exchange.forward.authorization = `Bearer ${token}`;
    }
    const found = callers.of(token);
    // Without an await where nothing has to be waited for: each costs a turn of the queue on every request.
    const caller = found instanceof Promise ? await found : found;
    exchange.caller = caller;
    if (caller.tenantId !== null) {
      const known = settings.of(caller.tenantId);
      exchange.settings = known instanceof Promise ? await known : known;
    }
    return next();
  };
}
