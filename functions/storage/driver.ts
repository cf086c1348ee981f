import type { Readable } from 'node:stream';

/** What a client sends, and where, to store or fetch one object without a token. */
export interface SignedRequest {
  method: 'PUT' | 'GET';
  url: string;
  /** Headers that the request must carry exactly as they are: they are part of the signature. */
  headers: Record<string, string>;
}

export interface PutTerms {
  key: string;
  /** The body's exact length in bytes. */
  contentLength: number;
  contentType: string;
  expiresAt: Date;
  /** Hex. A body with another checksum is refused. */
  sha256?: string;
}

export interface GetTerms {
  key: string;
  expiresAt: Date;
  /** The file name that the browser saves under. */
  downloadName: string;
  contentType: string;
  /** Hex; becomes the ETag where the driver serves the object itself. */
  sha256?: string;
}

/** A body on its way in: a Readable, or anything that yields bytes. */
export type BodySource = AsyncIterable<Uint8Array | string>;

/** What is known of a body once every byte has been seen. */
export interface StoredObject {
  size: number;
  /** Hex. */
  sha256: string;
}

export interface ByteRange {
  start?: number;
  /** Inclusive, as in HTTP. */
  end?: number;
}

export interface WriteTerms {
  expectedSize?: number;
  expectedSha256?: string;
}

/**
 * Where file bodies live. Keys are `{tenant_id}/files/{uuid}` and nothing else: every method raises object_key_invalid
 * for another shape before it touches anything, and storage_unavailable when the store cannot be reached.
 */
export interface StorageDriver {
  signPut(terms: PutTerms): Promise<SignedRequest>;
  signGet(terms: GetTerms): Promise<SignedRequest>;
  /** @throws RowhouseError file_not_found */
  open(key: string, range?: ByteRange): Promise<Readable>;
  /**
   * Stores the whole source or nothing; an object already under the key is replaced.
   * @throws RowhouseError upload_too_short, upload_too_large, upload_checksum
   */
  write(key: string, source: BodySource, terms?: WriteTerms): Promise<StoredObject>;
  /** @returns undefined when nothing is stored under the key */
  stat(key: string): Promise<{ size: number } | undefined>;
  /** Succeeds when nothing was there. */
  remove(key: string): Promise<void>;
}
