// pure
/** How the files that a process may open are shared out between logs and connections. */
import { type BrokerSettings, limits, TributaryError } from '@tributary/model';

export interface FileBudget {
  /** Files of logs. */
  readonly files: number;
  readonly connections: number;
}

/**
 * What is set, as far as the process is allowed; else half of that for the logs and the rest for connections.
 * @param openFilesMax that the process may open; undefined: nobody knows. @throws TributaryError INVALID_CONFIG when it is too few to work.
 */
export function fileBudget(settings: BrokerSettings, openFilesMax: number | undefined): FileBudget {
  const { openFiles: files, connections } = settings;
  if (openFilesMax === undefined) return { files, connections };
  if (openFilesMax < limits.openFilesLeast) {
    throw new TributaryError(
      'INVALID_CONFIG',
      `This process may open ${openFilesMax} files, a broker needs ${limits.openFilesLeast}: raise the limit (ulimit -n) and start again.`,
    );
  }
  const room = openFilesMax - limits.otherFiles;
  if (files + connections <= room) return { files, connections };
  const forLogs = Math.min(files, Math.max(Math.floor(room / 2), room - connections));
  return { files: forLogs, connections: Math.min(connections, room - forLogs) };
}
