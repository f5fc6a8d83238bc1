import { defineConfig, type OxlintConfig } from 'oxlint';
import { PACKAGES, pureFiles, SERVICES, workspaceNames, type Zone, ZONES } from './scripts/zones.ts';

type Rules = NonNullable<OxlintConfig['rules']>;

const root = import.meta.dirname;
const everyPackage = [...PACKAGES, ...SERVICES];

/** A relative path that climbs out of its own package and down into another's sources, past what that one exports. */
const deepImport = {
  regex: '^(\\.\\./)+([a-z0-9-]+/)+src/',
  message: 'Import another package by its name: what it exports is what it promises.',
};
const deepPackageImport = (zone?: Zone) => ({
  group: [
    '@tributary/*/**',
    ...(zone?.may ?? []).filter((name) => name.includes('/')).map((name) => `!@tributary/${name}`),
  ],
  message: 'A package is imported by its root only; export from its src/index.ts what others need.',
});

function importsOf(zone: Zone): NonNullable<Rules['no-restricted-imports']> {
  const banned = workspaceNames(everyPackage.filter((name) => !zone.may.includes(name)));
  const patterns: ({ message: string } & ({ regex: string } | { group: string[] }))[] = [
    deepImport,
    deepPackageImport(zone),
  ];
  if (banned.length > 0) {
    patterns.push({
      group: banned,
      message: `May import ${zone.may.join(', ') || 'no package of this tree'} (scripts/zones.ts).`,
    });
  }
  if (zone.node !== 'any') {
    patterns.push({
      // 'node:*' alone misses node:fs/promises. The rest are the builtins whose bare name npm cannot shadow.
      group: ['node:*', 'node:*/**', ...zone.node.map((name) => `!node:${name}`)],
      message: 'What is outside the process comes through the ports (DESIGN, "Who may import whom").',
    });
    patterns.push({
      regex: `^(${bareBuiltins(zone.node).join('|')})(/|$)`,
      message: "Node's own modules are imported as node:…, where allowed.",
    });
  }
  if (!zone.grpc) {
    patterns.push({ group: ['@grpc/*', '@grpc/*/**', 'grpc-*'], message: 'gRPC lives behind the Transport port.' });
  }
  return ['error', { patterns }];
}

function bareBuiltins(allowed: readonly string[]): string[] {
  const names = [
    'async_hooks',
    'child_process',
    'cluster',
    'crypto',
    'dgram',
    'dns',
    'events',
    'fs',
    'http',
    'http2',
    'https',
    'module',
    'net',
    'os',
  ];
  const more = [
    'path',
    'perf_hooks',
    'process',
    'readline',
    'stream',
    'timers',
    'tls',
    'tty',
    'util',
    'v8',
    'vm',
    'worker_threads',
    'zlib',
  ];
  return [...names, ...more].filter((name) => !allowed.includes(name));
}

const clock = 'Time comes from the Clock port: the simulator owns it.';
const chance = 'Chance comes from the Random port: a seed must replay the run.';
const outside = 'The process and the network come through the ports.';

const ambientGlobals = [
  ...[
    'setTimeout',
    'setInterval',
    'setImmediate',
    'clearTimeout',
    'clearInterval',
    'clearImmediate',
    'performance',
  ].map((name) => ({ name, message: clock })),
  { name: 'crypto', message: chance },
  ...['process', 'fetch', 'WebSocket', 'Worker', 'BroadcastChannel', 'MessageChannel', 'Atomics'].map((name) => ({
    name,
    message: outside,
  })),
  ...['globalThis', 'global'].map((name) => ({
    name,
    message: 'Name what you need: through the global object no rule can see it.',
  })),
];

/** Native rules cannot tell `new Date()` from `new Date(ms)`: scripts/rules.ts looks for the first. */
const ambientProperties = [
  { object: 'Date', property: 'now', message: clock },
  { object: 'AbortSignal', property: 'timeout', message: clock },
  { object: 'Math', property: 'random', message: chance },
];

const pureGlobals = [
  ...ambientGlobals,
  { name: 'Date', message: 'Pure code never reads the time: pass it in.' },
  { name: 'console', message: 'Pure code never logs: return what is worth logging.' },
  { name: 'queueMicrotask', message: 'Pure code never waits.' },
];

function globalsRule(globals: { name: string; message: string }[]): NonNullable<Rules['no-restricted-globals']> {
  return ['error', { globals, checkGlobalObject: true }];
}

function propertiesRule(): NonNullable<Rules['no-restricted-properties']> {
  return ['error', ...ambientProperties];
}

const pure = pureFiles(root);

export default defineConfig({
  plugins: ['typescript', 'import', 'node', 'unicorn', 'oxc', 'promise'],
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  categories: { correctness: 'error' },
  ignorePatterns: ['**/node_modules/**', '**/dist/**', '**/gen/**'],
  rules: {
    // Promises
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    'typescript/return-await': ['error', 'error-handling-correctness-only'],
    'promise/no-return-in-finally': 'error',
    // Types
    'typescript/no-explicit-any': 'error',
    'typescript/no-namespace': 'error',
    'typescript/parameter-properties': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'typescript/only-throw-error': 'error',
    'typescript/no-unnecessary-type-assertion': 'error',
    'typescript/no-unsafe-enum-comparison': 'error',
    'typescript/prefer-readonly': 'error',
    'typescript/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
    'oxc/no-const-enum': 'error',
    // Modules
    'import/no-default-export': 'error',
    'import/no-cycle': 'error',
    'import/no-duplicates': 'error',
    'unicorn/prefer-node-protocol': 'error',
    'no-restricted-imports': ['error', { patterns: [deepImport, deepPackageImport()] }],
    // Habits
    eqeqeq: 'error',
    'no-unused-vars': ['error', { ignoreRestSiblings: true, argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    'no-var': 'error',
    'prefer-const': 'error',
    'no-console': 'error',
    // Walking a copy is how a collection is changed while it is walked; `new Array(n)` is how one is sized at once.
    'unicorn/no-useless-spread': 'off',
    'unicorn/no-new-array': 'off',
    // Ports and codecs are interfaces of functions: handing one on is how they are used.
    'typescript/unbound-method': 'off',
  },
  overrides: [
    ...ZONES.map((zone) => ({
      files: [...zone.files],
      rules: {
        'no-restricted-imports': importsOf(zone),
        'no-restricted-globals': zone.ambient ? 'off' : globalsRule(ambientGlobals),
        'no-restricted-properties': zone.ambient ? 'off' : propertiesRule(),
      },
    })),
    ...(pure.length === 0 ? [] : [{ files: pure, rules: { 'no-restricted-globals': globalsRule(pureGlobals) } }]),
    {
      files: ['packages/cli/src/**', 'scripts/**', 'tests/**', '**/test/**', 'benchmarks/**'],
      rules: { 'no-console': 'off' },
    },
    {
      // Tests and benchmarks look inside: at the simulated world's parts, and at the transport that ours is measured against.
      files: ['tests/{contract,simulator}/**', 'benchmarks/**'],
      // A getter of an object made in a class reaches the instance only under another name.
      rules: { 'no-restricted-imports': 'off', 'typescript/no-this-alias': 'off' },
    },
    {
      // node:test's functions return promises that the runner itself awaits.
      files: ['tests/**', '**/test/**'],
      rules: {
        'typescript/no-floating-promises': [
          'error',
          {
            allowForKnownSafeCalls: [
              {
                from: 'package',
                package: 'node:test',
                name: ['test', 'it', 'describe', 'suite', 'before', 'after', 'beforeEach', 'afterEach'],
              },
            ],
          },
        ],
      },
    },
    { files: ['*.config.ts'], rules: { 'import/no-default-export': 'off' } },
  ],
});
