// pure
/** One record of the journal, as bytes. */
export interface JournalRecord {
  readonly key: Uint8Array;
  /** null: takes back what has this key. */
  readonly value: Uint8Array | null;
}
