/** Where the programs of the parts are: in the tree their sources, in the published package files beside this one. */
import path from 'node:path';
import type { Role } from './parts.ts';

export function programOf(role: Exclude<Role, 'etcd'>): string {
  const isSource = import.meta.filename.endsWith('.ts');
  return isSource
    ? path.resolve(import.meta.dirname, '../../../../services', role, 'src', 'main.ts')
    : path.join(import.meta.dirname, `${role}.js`);
}
