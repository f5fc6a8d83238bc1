// Completes package-lock.json: node scripts/lock.mjs, after any `npm install` that changed it.
//
// npm leaves out of the lock file every optional platform package that it could not look up, for instance because the
// registry in use serves some platforms only; `npm ci` then refuses the file on every platform. The missing entries are
// known from their parents (name and exact version) and from their names (system, processor, C library). What cannot be
// known here is their checksum, so theirs are verified by the registry's own on the platforms that install them.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const PROCESSORS = {
  aarch64: 'arm64',
  arm64: 'arm64',
  armv7: 'arm',
  arm: 'arm',
  x64: 'x64',
  ia32: 'ia32',
  s390x: 's390x',
};
const MORE_PROCESSORS = {
  ppc64le: 'ppc64',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  loong64: 'loong64',
  mips64el: 'mips64el',
};
const C_LIBRARIES = { musl: 'musl', musleabihf: 'musl', gnu: 'glibc', gnueabihf: 'glibc' };

/** The entries that the lock file lacks, by their key in it. */
export function missingEntries(lock) {
  const missing = {};
  for (const [at, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (isLocked(lock, at, name)) continue;
      const key = path.posix.join('node_modules', name);
      const { os, cpu, libc } = platformOf(name);
      // In npm's own order, so that its next rewrite changes nothing.
      missing[key] = {
        version,
        cpu,
        ...(entry.dev ? { dev: true } : {}),
        ...(libc ? { libc } : {}),
        optional: true,
        os,
      };
    }
  }
  return missing;
}

/** As Node resolves it: beside the package that asks, or in any node_modules above. */
function isLocked(lock, at, name) {
  for (let folder = at; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules') - 1))) {
    if (lock.packages[path.posix.join(folder, 'node_modules', name)]) return true;
    if (folder === '') return false;
  }
}

function platformOf(name) {
  const words = name.split('/').at(-1).split('-');
  const os = SYSTEMS.find((system) => words.includes(system));
  const processors = { ...PROCESSORS, ...MORE_PROCESSORS };
  const cpu = processors[Object.keys(processors).find((processor) => words.includes(processor))];
  const libc = C_LIBRARIES[Object.keys(C_LIBRARIES).find((library) => words.includes(library))];
  if (os === undefined || cpu === undefined)
    throw new Error(`${name}: its name does not tell its system and processor`);
  return { os: [os], cpu: [cpu], libc: libc !== undefined && os === 'linux' ? [libc] : undefined };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'package-lock.json');
  const lock = JSON.parse(readFileSync(file, 'utf8'));
  const missing = missingEntries(lock);
  const byKey = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => a.localeCompare(b, 'en'));
  lock.packages = Object.fromEntries(byKey);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`package-lock.json: ${Object.keys(missing).length} entries added\n`);
}
