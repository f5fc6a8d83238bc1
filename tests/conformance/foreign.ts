// Clients in other languages, made ready from nothing but what their own package tools bring: a virtual environment for Python, a binary for Go.
// What was made once is kept below node_modules/.cache until its inputs change.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const root = path.dirname(path.dirname(import.meta.dirname));
const cache = path.join(root, 'node_modules', '.cache', 'conformance');
const goSource = path.join(import.meta.dirname, 'go');
export const pythonSource = path.join(import.meta.dirname, 'python');

/** The set-up downloads what it needs. */
const setupMsMax = 240_000;
const runMsMax = 60_000;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly timeoutMs?: number } = {},
): Promise<Outcome> {
  const { cwd = root, env = process.env, timeoutMs = runMsMax } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** A Python that has what requirements.txt names. */
export async function python(): Promise<string> {
  const requirements = path.join(pythonSource, 'requirements.txt');
  const version = (await ok('python3', ['--version'])).trim();
  const home = path.join(cache, `python-${hashOf([requirements], version)}`);
  const made = path.join(home, 'bin', 'python');
  // A virtual environment cannot be moved: the mark says that it is whole.
  const mark = path.join(home, '.ready');
  if (existsSync(mark)) return made;
  rmSync(home, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  await ok('python3', ['-m', 'venv', home]);
  await ok(made, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements]);
  writeFileSync(mark, '');
  return made;
}

/** The Go client, its stubs generated from proto/ and built. */
export async function goClient(): Promise<string> {
  const sources = readdirSync(goSource).map((name) => path.join(goSource, name));
  const protos = readdirSync(path.join(root, 'proto', 'tributary', 'v1alpha'), { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(root, 'proto', 'tributary', 'v1alpha', name))
    .sort((a, b) => (a < b ? -1 : 1));
  const version = (await ok('go', ['version'])).trim();
  const made = path.join(cache, `go-${hashOf([...sources, ...protos], version)}`);
  if (existsSync(made)) return made;
  mkdirSync(cache, { recursive: true });
  const build = mkdtempSync(path.join(cache, 'go-build-'));
  try {
    cpSync(goSource, build, { recursive: true });
    const env = goEnvironment();
    const plugins = ['google.golang.org/protobuf/cmd/protoc-gen-go', 'google.golang.org/grpc/cmd/protoc-gen-go-grpc'];
    await ok('go', ['build', '-o', `${build}${path.sep}`, ...plugins], { cwd: build, env });
    writeFileSync(path.join(build, 'buf.gen.yaml'), stubsTemplate);
    await ok(process.execPath, [path.join(root, 'node_modules', '.bin', 'buf'), 'generate'], {
      cwd: build,
      env: { ...process.env, PATH: `${build}${path.delimiter}${process.env['PATH'] ?? ''}` },
    });
    await ok('go', ['build', '-o', 'conformance', '.'], { cwd: build, env });
    renameSync(path.join(build, 'conformance'), made);
  } finally {
    rmSync(build, { recursive: true, force: true });
  }
  return made;
}

/** Downloads and compiled packages are kept for the next build, and can be removed as any folder. */
function goEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    GOMODCACHE: path.join(cache, 'go-modules'),
    GOCACHE: path.join(cache, 'go-compiled'),
    GOFLAGS: '-modcacherw',
    GOTOOLCHAIN: 'local',
    GOWORK: 'off',
    CGO_ENABLED: '0',
  };
}

const stubsTemplate = JSON.stringify({
  version: 'v2',
  inputs: [{ directory: path.join(root, 'proto'), paths: [path.join(root, 'proto', 'tributary')] }],
  managed: {
    enabled: true,
    override: [{ file_option: 'go_package', value: 'tributary.test/conformance/stubs/tributary/v1alpha' }],
  },
  plugins: ['protoc-gen-go', 'protoc-gen-go-grpc'].map((local) => ({
    local,
    out: 'stubs',
    opt: 'paths=source_relative',
  })),
});

/** @throws what it said, when it fails. @returns standard output. */
async function ok(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, { ...options, timeoutMs: setupMsMax });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${stderr}${stdout}`);
  return stdout;
}

function hashOf(files: readonly string[], more: string): string {
  const hash = createHash('sha256').update(more);
  for (const file of files) hash.update(`\0${path.basename(file)}\0`).update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}
