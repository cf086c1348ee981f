/** A server in a process of its own that answers the same questions. */
export interface Peer {
  origin: string;
  pid: number;
  close(): Promise<void>;
}
