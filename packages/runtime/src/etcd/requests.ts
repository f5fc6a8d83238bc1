import type { Entry, Transaction } from '@tributary/ports';
import type { ICompare, IKeyValue, IRequestOp, ITxnRequest } from 'etcd3';

/** A range of keys as etcd names it. */
export interface KeyRange {
  readonly key: Buffer;
  readonly range_end: Buffer;
}

/** All keys that begin with `prefix`. In UTF-8 no byte is 255, so its last one can be raised. */
export function keyRange(prefix: string): KeyRange {
  const key = Buffer.from(prefix);
  const last = key.at(-1);
  if (last === undefined) return { key: Buffer.of(0), range_end: Buffer.of(0) };
  const range_end = Buffer.from(key);
  range_end[range_end.length - 1] = last + 1;
  return { key, range_end };
}

/** The rest of the range behind `key`. */
export function rangeAfter(key: Buffer, { range_end }: KeyRange): KeyRange {
  return { key: Buffer.concat([key, Buffer.of(0)]), range_end };
}

export function entryOf({ key, value, create_revision, mod_revision }: IKeyValue): Entry {
  return {
    key: key.toString(),
    value: value.toString(),
    createRevision: BigInt(create_revision),
    modRevision: BigInt(mod_revision),
  };
}

export function transactionRequest({ compare, put, delete: deletes }: Transaction): ITxnRequest {
  return {
    compare: compare.flatMap(({ key, createRevision, modRevision }) => [
      ...equal(key, 'Create', 'create_revision', createRevision),
      ...equal(key, 'Mod', 'mod_revision', modRevision),
    ]),
    success: [
      ...put.map(({ key, value, lease }): IRequestOp => {
        const leased = lease === undefined ? {} : { lease: lease.id };
        return { request_put: { key: Buffer.from(key), value: Buffer.from(value), ...leased } };
      }),
      ...deletes.map((key): IRequestOp => ({ request_delete_range: { key: Buffer.from(key) } })),
    ],
  };
}

function equal(
  key: string,
  target: 'Create' | 'Mod',
  field: 'create_revision' | 'mod_revision',
  revision: bigint | undefined,
): ICompare[] {
  return revision === undefined ? [] : [{ key: Buffer.from(key), result: 'Equal', target, [field]: String(revision) }];
}

/**
 * Whether the keys of `range` are what they were at `revision`: none was put since, and there are as many, so none is gone. Reads only, and
 * linearizably. A key that came and went in between does not show.
 */
export function unchangedSince(range: KeyRange, revision: bigint): ITxnRequest {
  const count = { ...range, count_only: true };
  const then: IRequestOp = { request_range: { ...count, revision: String(revision) } };
  return {
    compare: [{ ...range, result: 'Less', target: 'Mod', mod_revision: String(revision + 1n) }],
    // Revision 0 would mean now.
    success: [{ request_range: count }, ...(revision > 0n ? [then] : [])],
  };
}
