import type { ServerResponse } from 'node:http';

/** The connection of one client, written to no faster than it reads. */
export interface Outlet {
  write(frame: Buffer): void;
  /** Whether more can be written without waiting; after it could not, onRoom tells when it can. */
  hasRoom(): boolean;
  /** Bytes that the client has not taken yet. */
  unsent(): number;
  /** Bytes that it has taken; grows while it reads. */
  taken(): number;
  /** Writes the last frame and ends; what is not taken soon is not waited for. */
  end(frame: Buffer): void;
}

/** Written piece by piece: that a client takes some of a large event can be seen. */
const PIECE_BYTES = 16 * 1024;
const FAREWELL_MS = 2000;

/**
 * @param onRoom everything was taken, after something was not at once
 * @param onGone the client is gone, or has been told that it is over
 */
export function createOutlet(raw: ServerResponse, onRoom: () => void, onGone: () => void): Outlet {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let written = 0;
  let full = false;
  let ended = false;

  const give = (piece: Buffer) => {
    written += piece.length;
    full = !raw.write(piece);
  };

  function flush(): void {
    let next = 0;
    while (!full && next < waiting.length) {
      const piece = waiting[next++] as Buffer;
      waitingBytes -= piece.length;
      give(piece);
    }
    if (next > 0) waiting = waiting.slice(next);
  }

  function write(frame: Buffer): void {
    for (let from = 0; from < frame.length; from += PIECE_BYTES) {
      const piece = frame.subarray(from, from + PIECE_BYTES);
      if (full) {
        waiting.push(piece);
        waitingBytes += piece.length;
      } else give(piece);
    }
  }

  raw.on('drain', () => {
    full = false;
    flush();
    if (!full && !ended) onRoom();
  });
  raw.on('error', () => {}); // 'close' follows
  raw.once('close', () => {
    waiting = [];
    onGone();
  });

  return {
    write,
    hasRoom: () => !full,
    unsent: () => waitingBytes + raw.writableLength,
    taken: () => written - raw.writableLength,
    end(frame) {
      if (ended) return;
      ended = true;
      for (const piece of waiting) raw.write(piece);
      waiting = [];
      raw.end(frame);
      const timer = setTimeout(() => raw.destroy(), FAREWELL_MS);
      timer.unref();
      raw.once('close', () => clearTimeout(timer));
    },
  };
}
