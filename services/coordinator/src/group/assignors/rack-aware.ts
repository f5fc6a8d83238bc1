// pure
import { stickyUniform } from './sticky-uniform.ts';
import type { Assignor } from './assignor.ts';

export const rackAware: Assignor = (members) => stickyUniform(members);
