import type { Page, StreamEvent } from './reader.ts';
import { frameOf, isLetIn, resume, type Subscriber, send } from './subscriber.ts';

/** Streams of one tenant that see the same events: one reads for all. */
export interface Group {
  readonly role: string;
  readonly live: Set<Subscriber>;
  /** Up to where the group has read. */
  position: number;
  /** Something may have been committed behind it. */
  dirty: boolean;
  reading: boolean;
  /** After an error, not before this. */
  retryAt: number;
  /** The event that all of its streams have had last, to be looked up before it goes on. */
  seen: number | null;
}

const NONE: ReadonlySet<number> = new Set();

export const createGroup = (role: string): Group => ({
  role,
  live: new Set(),
  position: 0,
  dirty: false,
  reading: false,
  retryAt: 0,
  seen: null,
});

/** Takes a stream in that has had everything the group has; false where it has to read by itself first. */
export function join(group: Group, subscriber: Subscriber): boolean {
  if (group.live.size === 0) {
    group.position = subscriber.position;
    group.seen = null;
  } else if (subscriber.position < group.position) return false;
  group.live.add(subscriber);
  subscriber.behind = false;
  // Committed between its own reading and now, it would be heard of by nobody.
  group.dirty = true;
  return true;
}

/** It reads by itself from now on. */
export function leave(group: Group, subscriber: Subscriber): void {
  group.live.delete(subscriber);
  subscriber.behind = true;
}

/** Sets the streams of a group back to what each has had last. Those that had less or more than the first read by themselves. */
export function resumeGroup(group: Group): void {
  group.dirty = true;
  const [first] = group.live;
  for (const subscriber of group.live) {
    resume(subscriber);
    if (subscriber.position !== first?.position || subscriber.mark !== first.mark) leave(group, subscriber);
    else subscriber.resuming = false;
  }
  if (!first) return;
  group.position = first.position;
  group.seen = first.mark;
}

function bytesOf(events: readonly StreamEvent[], { filter, position, passed }: Subscriber): Buffer {
  const isWanted = (event: StreamEvent) =>
    event.position > position && !passed.has(event.position) && filter.matches(event.type, event.subject);
  const wanted = events.filter(isWanted);
  return wanted.length === 1 ? frameOf(wanted[0] as StreamEvent) : Buffer.concat(wanted.map(frameOf));
}

/**
 * Gives a page to a stream.
 * @param bytes of the events that it lets through
 */
export function give(subscriber: Subscriber, page: Page, bytes: Buffer): void {
  if (bytes.length > 0) send(subscriber, bytes);
  subscriber.position = Math.max(subscriber.position, page.through);
  if (subscriber.passed.size > 0 && subscriber.position >= Math.max(...subscriber.passed)) subscriber.passed = NONE;
  if (page.mark !== null) subscriber.mark = Math.max(page.mark, subscriber.mark ?? 0);
}

/** What one stream gets of a page of its own. */
export const ownBytes = (page: Page, subscriber: Subscriber) => bytesOf(page.events, subscriber);

/**
 * Gives a page to every stream of the group. One that has not taken what it was given stays behind, where that would be too much: it reads
 * the ledger again when it has room.
 * @param changes those that were known when it was read
 * @param mostUnsent bytes that one stream may have before it
 */
export function deliver(group: Group, page: Page, changes: number, mostUnsent: number): void {
  const shared = new Map<string, Buffer>();
  for (const subscriber of group.live) {
    if (!isLetIn(subscriber, changes)) {
      leave(group, subscriber);
      continue;
    }
    if (subscriber.position >= page.through) continue;
    let bytes: Buffer | undefined;
    // Those that have had some of it already are few: they have just been opened.
    if (subscriber.position > page.after || subscriber.passed.size > 0) bytes = bytesOf(page.events, subscriber);
    else {
      const { key } = subscriber.filter;
      bytes = shared.get(key);
      if (!bytes) {
        bytes = bytesOf(page.events, subscriber);
        shared.set(key, bytes);
      }
    }
    const { outlet } = subscriber;
    const isTooMuch = bytes.length > 0 && !outlet.hasRoom() && outlet.unsent() + bytes.length > mostUnsent;
    if (isTooMuch) leave(group, subscriber);
    else give(subscriber, page, bytes);
  }
  group.position = page.through;
}
