/** What this broker may hold, what it holds now, and how often it refused for want of it. */
import { type BrokerSettings, limits, MemoryBudget } from '@tributary/model';
import type { ServerLimits, ServerUse } from '@tributary/ports';
import { fileBudget } from './file-budget.ts';
import type { OpenFiles } from './log/open-files.ts';

export interface ResourceUse {
  readonly name: string;
  readonly used: number;
  readonly limit: number;
  /** Requests, calls or connections since the start. */
  readonly refused: number;
}

/** What may be held of so much memory: the rest is for what was let go. */
const heldOf = (bytes: number): number => Math.max(bytes / 4, bytes - limits.collectedLate);

/** The bounds of the server that a broker's service is served by. */
export class Resources implements ServerLimits {
  readonly memory: MemoryBudget;
  readonly use: ServerUse = { connections: 0, connectionsRefused: 0, calls: 0, callsRefused: 0 };
  readonly #openFiles: OpenFiles;
  readonly #openFilesMax: number | undefined;
  #connectionsMax = 0;
  #connectionIdleMs = 0;

  /** @param openFilesMax that the process may open; undefined: nobody knows. @throws TributaryError INVALID_CONFIG when it is too few to work. */
  constructor(settings: BrokerSettings, openFiles: OpenFiles, openFilesMax: number | undefined) {
    this.memory = new MemoryBudget(0, 0);
    this.#openFiles = openFiles;
    this.#openFilesMax = openFilesMax;
    this.apply(settings);
  }

  apply(settings: BrokerSettings): void {
    const { files, connections } = fileBudget(settings, this.#openFilesMax);
    this.memory.resize(heldOf(settings.requestBytes), settings.requestBytesPerConnection);
    this.#openFiles.resize(files);
    this.#connectionsMax = connections;
    this.#connectionIdleMs = settings.connectionIdleMs;
  }

  get connectionsMax(): number {
    return this.#connectionsMax;
  }

  get connectionIdleMs(): number {
    return this.#connectionIdleMs;
  }

  /** By name. */
  list(): readonly ResourceUse[] {
    const { connections, connectionsRefused, calls, callsRefused } = this.use;
    return [
      { name: 'calls', used: calls, limit: limits.calls, refused: callsRefused },
      { name: 'connections', used: connections, limit: this.#connectionsMax, refused: connectionsRefused },
      { name: 'open_files', used: this.#openFiles.count, limit: this.#openFiles.max, refused: 0 },
      { name: 'request_bytes', used: this.memory.used, limit: this.memory.total, refused: this.memory.refused },
    ];
  }
}
