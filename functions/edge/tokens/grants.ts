import { RowhouseError } from '../../errors.ts';
import type { ApiKeys } from './api-keys.ts';
import type { Issuers } from './issuers.ts';
import { type Parameters, required } from './parameters.ts';
import type { Session, Sessions } from './sessions.ts';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:';
export const API_KEY_TYPE = 'urn:rowhouse:params:oauth:token-type:api_key';
/** An ID token is a JWT; so is an access token that can be verified here. */
const JWT_TYPES = new Set([`${TYPE}jwt`, `${TYPE}id_token`, `${TYPE}access_token`]);

/** RFC 8693, 2.2.1. */
export interface TokenAnswer {
  access_token: string;
  issued_token_type: string;
  token_type: 'Bearer';
  expires_in: number;
  tenant_id: string;
  scope?: string;
  refresh_token?: string;
}

export interface GrantParts {
  issuers: Issuers;
  sessions: Sessions;
  apiKeys: ApiKeys;
}

const refuse = (detail: string, hint?: string) =>
  new RowhouseError('request_invalid', { detail, ...(hint ? { hint } : {}) });

const answer = (token: string, expires_in: number, tenant_id: string): TokenAnswer => ({
  access_token: token,
  issued_token_type: `${TYPE}access_token`,
  token_type: 'Bearer',
  expires_in,
  tenant_id,
});

const sessionAnswer = ({ token, expires_in, tenant_id, refresh_token }: Session): TokenAnswer => ({
  ...answer(token, expires_in, tenant_id),
  refresh_token,
});

/** The tenant asked for, as `tenant_id` or, in the words of RFC 8693, as `audience`. */
function wantedTenant({ tenant_id, audience, resource }: Parameters): string | undefined {
  if (resource !== undefined)
    throw refuse('resource names no tenant here.', 'name the tenant with tenant_id or audience');
  if (tenant_id !== undefined && audience !== undefined && tenant_id !== audience) {
    throw refuse('tenant_id and audience name different tenants.');
  }
  return tenant_id ?? audience;
}

/** What each grant type gives. Raises RowhouseError: what issuers, sessions and API keys raise, and request_invalid. */
export function createGrants({ issuers, sessions, apiKeys }: GrantParts) {
  async function ofApiKey(key: string, address: string, tenant: string | undefined, scope: string | undefined) {
    const exchanged = await apiKeys.exchange(key, address, scope?.split(' ').filter(Boolean));
    // The holder knows its tenant from the key: this tells nothing.
    if (tenant !== undefined && tenant !== exchanged.tenant_id) throw new RowhouseError('membership_required');
    return { ...answer(exchanged.token, exchanged.expires_in, exchanged.tenant_id), scope: exchanged.scope };
  }

  async function exchange(parameters: Parameters, address: string): Promise<TokenAnswer> {
    const subjectToken = required(parameters, 'subject_token');
    const type = required(parameters, 'subject_token_type');
    const { requested_token_type: requested, actor_token: actor, scope } = parameters;
    if (actor !== undefined) throw refuse('actor_token is not supported.');
    if (requested !== undefined && requested !== `${TYPE}access_token` && requested !== `${TYPE}jwt`) {
      throw refuse('requested_token_type can only be an access token.');
    }
    const tenant = wantedTenant(parameters);
    if (type === API_KEY_TYPE) return ofApiKey(subjectToken, address, tenant, scope);
    if (!JWT_TYPES.has(type)) throw refuse('subject_token_type is unknown.', `${TYPE}jwt or ${API_KEY_TYPE}`);
    if (scope !== undefined) {
      throw new RowhouseError('scope_insufficient', {
        detail: 'A member has a role, not scopes.',
        hint: 'leave scope out',
      });
    }
    const { issuer, subject } = await issuers.verify(subjectToken);
    return sessionAnswer(await sessions.begin(issuer, subject, tenant));
  }

  return {
    async grant(parameters: Parameters, address: string): Promise<TokenAnswer> {
      const type = required(parameters, 'grant_type');
      if (type === TOKEN_EXCHANGE) return exchange(parameters, address);
      if (type === 'refresh_token') return sessionAnswer(await sessions.renew(required(parameters, 'refresh_token')));
      throw new RowhouseError('grant_type_unsupported', { hint: `${TOKEN_EXCHANGE} or refresh_token` });
    },
    /** RFC 7009: refresh tokens alone can be revoked here; one that is unknown is as good as revoked. */
    async revoke(parameters: Parameters): Promise<void> {
      const token = required(parameters, 'token');
      if (!token.startsWith('rh_refresh_')) {
        throw new RowhouseError('token_type_unsupported', {
          detail: 'Only refresh tokens are revoked here.',
          hint: 'an access token ends by itself, an API key with POST /v1/rpc/revoke_api_key',
        });
      }
      await sessions.end(token);
    },
  };
}
