// The rules of the tree that no linter knows. One line per violation: file:line what is wrong.
//
//   pure        a file marked `// pure` imports only model, record, other pure files, and types of metadata and wire
//   time        `new Date()` outside the zones that own the real clock (the linter sees Date.now, not this)
//   barrel      `export *` only in a package's root entry
//   length      a source file of more than 500 lines is split by meaning
//   zone        every package is in the table of scripts/zones.ts, or nothing would guard its imports

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isPure, PACKAGES, PURE_MAY, PURE_MAY_TYPES, SERVICES, sourceFiles, workspaceNames, ZONES } from './zones.ts';

const LINES_MAX = 500;

interface Violation {
  readonly file: string;
  readonly line: number;
  readonly what: string;
}

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

const root = path.resolve(process.argv[2] ?? path.dirname(import.meta.dirname));
const texts = new Map(sourceFiles(root).map((file) => [file, readFileSync(path.join(root, file), 'utf8')]));
const violations = [...unknownPackages(), ...[...texts].flatMap(([file, text]) => violationsOf(file, text))];
for (const { file, line, what } of violations) console.log(`${file}:${line} ${what}`);
process.exitCode = violations.length === 0 ? 0 : 1;

function violationsOf(file: string, text: string): Violation[] {
  const code = withoutComments(text);
  return [
    ...lengthOf(file, text),
    ...barrels(file, code),
    ...timesRead(file, code),
    ...(isPure(text) ? impureImports(file, code) : []),
  ];
}

function impureImports(file: string, code: string): Violation[] {
  return importsOf(code).flatMap(({ specifier, typeOnly, line }) => {
    if (workspaceNames(PURE_MAY).includes(specifier)) return [];
    if (typeOnly && workspaceNames(PURE_MAY_TYPES).includes(specifier)) return [];
    if (specifier.startsWith('.')) {
      const target = path.posix.join(path.posix.dirname(file), specifier);
      const text = texts.get(target);
      if (text !== undefined && isPure(text)) return [];
      return [{ file, line, what: `pure: ${target} is not marked "// pure", so a pure file may not import it` }];
    }
    const hint = `${PURE_MAY.join(', ')}, pure files and types of ${PURE_MAY_TYPES.join(', ')}`;
    return [{ file, line, what: `pure: a pure file may not import ${specifier}; only ${hint}` }];
  });
}

function importsOf(code: string): Import[] {
  const statement =
    /\b(?:import|export)\s+(type\s+)?(?:[\w$*\s{},]+?\s+from\s*)?(['"])([^'"]+)\2|\b(?:import|require|getBuiltinModule)\s*\(\s*(['"`])([^'"`]+)\4/g;
  return [...code.matchAll(statement)].map((match) => ({
    specifier: match[3] ?? match[5] ?? '',
    typeOnly: match[1] !== undefined,
    line: lineOf(code, match.index),
  }));
}

function timesRead(file: string, code: string): Violation[] {
  // Tests and scripts lie in no zone: they live in the real world.
  if (zoneOf(file)?.ambient !== false) return [];
  return [...code.matchAll(/\bnew\s+Date\s*(\(\s*\)|(?=[;,)\].]))|(?<![\w.]|new\s+)Date\s*\(/g)].map((match) => ({
    file,
    line: lineOf(code, match.index),
    what: 'time: reads the clock; take the time from the Clock port',
  }));
}

function barrels(file: string, code: string): Violation[] {
  if (/^(packages|services)\/[^/]+\/src\/index\.ts$/.test(file)) return [];
  return [...code.matchAll(/^export\s+\*/gm)].map((match) => ({
    file,
    line: lineOf(code, match.index),
    what: "barrel: `export *` belongs in a package's src/index.ts only",
  }));
}

function lengthOf(file: string, text: string): Violation[] {
  const lines = text.trimEnd().split('\n').length;
  return lines <= LINES_MAX
    ? []
    : [{ file, line: LINES_MAX + 1, what: `length: ${lines} lines, at most ${LINES_MAX}: split it by meaning` }];
}

function unknownPackages(): Violation[] {
  const known: Record<string, readonly string[]> = { packages: PACKAGES, services: SERVICES };
  return Object.entries(known).flatMap(([group, names]) =>
    foldersOf(group)
      .filter((name) => !names.includes(name))
      .map((name) => ({
        file: `${group}/${name}/package.json`,
        line: 1,
        what: 'zone: not in the table of scripts/zones.ts, which says who may import whom',
      })),
  );
}

function foldersOf(group: string): string[] {
  return readdirSync(path.join(root, group), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

function zoneOf(file: string) {
  return ZONES.findLast((zone) => zone.files.some((pattern) => path.matchesGlob(file, pattern)));
}

/** Comments become blanks, so that positions and line numbers stay. Strings are kept: import specifiers are strings. */
function withoutComments(text: string): string {
  const token = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(token, (match) => (match.startsWith('/') ? match.replace(/[^\n]/g, ' ') : match));
}

function lineOf(code: string, index: number): number {
  return code.slice(0, index).split('\n').length;
}
