import type { IEvent, IWatchResponse } from 'etcd3';

export function put(revision: number, key: string): IEvent {
  return event('Put', revision, key);
}

export function deletion(revision: number, key: string): IEvent {
  return event('Delete', revision, key);
}

function event(type: IEvent['type'], revision: number, key: string): IEvent {
  const kv = {
    key: Buffer.from(key),
    value: Buffer.of(),
    create_revision: String(revision),
    mod_revision: String(revision),
    version: '1',
    lease: '0',
  };
  return { type, kv, prev_kv: kv };
}

/** What a watch's stream brings. */
export function response(revision: number, events: IEvent[] = [], more: Partial<IWatchResponse> = {}): IWatchResponse {
  return {
    header: { cluster_id: '1', member_id: '1', revision: String(revision), raft_term: '1' },
    watch_id: '0',
    created: false,
    canceled: false,
    compact_revision: '0',
    cancel_reason: '',
    fragment: false,
    events,
    ...more,
  };
}
