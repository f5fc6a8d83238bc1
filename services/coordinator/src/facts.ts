// pure
/** What a coordinator has done since its start: counted by its shards, read by its metrics. */
export class CoordinatorFacts {
  /** Writes that were refused because somebody else owns the partition. */
  fenced = 0;
  fenceRenewals = 0;
  /** Members whose time was over. */
  expiredMembers = 0;
  commits = 0;
  /** Offsets refused. */
  commitsRefused = 0;
  joins = 0;
  heartbeats = 0;
  writes = 0;
  recordsWritten = 0;
  /** Seconds from sending a write to its acknowledgement, summed. */
  writeSeconds = 0;
  loads = 0;
  recordsLoaded = 0;
  bytesLoaded = 0;
  loadSeconds = 0;
  /** Changes of a group's epoch, or of its target. */
  rebalances = 0;

  wrote(records: number, ms: number): void {
    this.writes++;
    this.recordsWritten += records;
    this.writeSeconds += ms / 1_000;
  }

  loaded({ records, bytes }: { readonly records: number; readonly bytes: number }, ms: number): void {
    this.loads++;
    this.recordsLoaded += records;
    this.bytesLoaded += bytes;
    this.loadSeconds += ms / 1_000;
  }
}
