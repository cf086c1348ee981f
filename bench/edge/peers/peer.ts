/** Something that answers the same question as the edge. */
export interface Peer {
  origin: string;
  close(): Promise<void>;
}
