import { ClusterFolder } from '../local/cluster-folder.ts';
import { listed } from '../local/listing.ts';
import type { LocalOptions } from '../program/local.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

export async function localPs({ dataDir, output }: LocalOptions): Promise<void> {
  const folder = new ClusterFolder(dataDir);
  const parts = listed(folder.expect(), folder);
  if (output === 'json') {
    await print(JSON.stringify(parts));
    return;
  }
  const rows = parts.map(({ name, id, pid, state, ports, dataDir: data }) => [
    name,
    id ?? '',
    state,
    pid ?? '',
    Object.entries(ports)
      .map(([what, port]) => `${what} ${port}`)
      .join(', '),
    data,
  ]);
  await print(table(['name', 'id', 'state', 'pid', 'ports', 'data'], rows));
}
