// pure
export * from './metadata-store.ts';
export * from './transport.ts';
/** The doors to the world. Services and client reach time, chance, disk, network and metadata through these and nothing else. */
export interface Clock {
  monotonicMs(): number;
  wallMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 2³²). */
  nextU32(): number;
}

export interface Logger {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** The process as a part sees it. */
export interface Host {
  /** Changes when the machine restarts (L1). */
  readonly bootId: string;
  /** Files and connections that the process may have open at once; absent where nobody knows. */
  readonly openFilesMax?: number | undefined;
  /** Ends the process at once, without any further write: an invariant broke or a sync failed (L2). */
  crash(reason: string): void;
}

export interface File {
  /** Bytes, what was appended included. */
  readonly size: number;
  /** Fills `into` from `position` as far as the file reaches. @returns bytes read. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Adds the chunks at the end, all or (after an error) an unknown part of them. One at a time. @throws FileError `full` when the disk is. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Data and size are on the disk when this resolves. Never call again after a failure (L2). */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export type FileErrorReason = 'absent' | 'full' | 'locked' | 'not-writable' | 'io';

export class FileError extends Error {
  override readonly name = 'FileError';
  readonly reason: FileErrorReason;
  constructor(reason: FileErrorReason, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}

export interface FileSystem {
  /** `append` creates the file and allows reading too. @throws FileError. */
  open(path: string, mode: 'read' | 'append'): Promise<File>;
  /** Names in a folder, sorted; [] where there is none. */
  list(directory: string): Promise<readonly string[]>;
  makeDirectory(path: string): Promise<void>;
  /** Replaces `to`. */
  rename(from: string, to: string): Promise<void>;
  /** A file, or a folder with all in it; nothing where there is none. */
  remove(path: string): Promise<void>;
  /** Names created, renamed and removed in it are on the disk when this resolves. */
  syncDirectory(path: string): Promise<void>;
  /** Exclusive until disposed or the process ends. @throws FileError `locked`. */
  lock(path: string): Promise<AsyncDisposable>;
  /** What this process may still write to the file system that holds `path`. */
  freeBytes(path: string): Promise<number>;
  /** Size of the file system that holds `path`: what is used and what this process may use; Infinity where there is no bound. */
  totalBytes(path: string): Promise<number>;
}
