/** Where the programs of brokers and controllers are: in the tree their sources, in the published package files beside this one. */
import path from 'node:path';

export function programOf(role: 'broker' | 'controller'): string {
  const isSource = import.meta.filename.endsWith('.ts');
  return isSource
    ? path.resolve(import.meta.dirname, '../../../../services', role, 'src', 'main.ts')
    : path.join(import.meta.dirname, `${role}.js`);
}
