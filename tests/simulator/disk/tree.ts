import type { SeededRandom } from '../seeded-random.ts';
import { FileNode } from './file-node.ts';

export type Node = FileNode | Directory;

/** A folder as processes see it (`entries`) and as it is on the platter (`durable`). */
export interface Directory {
  readonly kind: 'directory';
  readonly entries: Map<string, Node>;
  readonly durable: Map<string, Node>;
}

interface EntryStep {
  readonly directory: Directory;
  readonly name: string;
  /** undefined: the name goes. */
  readonly node: Node | undefined;
}

/** What one call changed among names: all of it survives or none. */
type EntryChange = readonly EntryStep[];

/**
 * The names of a disk. Every creation, removal and renaming waits in a journal until the folder that it touches is synced; a loss of power
 * keeps some of them. POSIX promises no order among them, only that one call is one change; so any choice may survive in which no change
 * outlives an earlier one to the same name.
 */
export class Tree {
  readonly root: Directory = emptyDirectory();
  #journal: EntryChange[] = [];

  /** The node at `path`, as processes see it. */
  find(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const name of namesOf(path)) node = node?.kind === 'directory' ? node.entries.get(name) : undefined;
    return node;
  }

  /** The folder that holds `path`, and the last name. undefined: there is no such folder. */
  place(path: string): { readonly directory: Directory; readonly name: string } | undefined {
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) return undefined;
    const directory = this.find(names.join('/'));
    return directory?.kind === 'directory' ? { directory, name } : undefined;
  }

  create(directory: Directory, name: string): FileNode {
    const file = new FileNode();
    this.#change([{ directory, name, node: file }]);
    return file;
  }

  /** Also the folders above it. */
  makeDirectory(path: string): void {
    let directory = this.root;
    for (const name of namesOf(path)) {
      const found = directory.entries.get(name);
      if (found?.kind === 'file') throw new Error(`${path}: ${name} is a file`);
      const next = found ?? emptyDirectory();
      if (found === undefined) this.#change([{ directory, name, node: next }]);
      directory = next;
    }
  }

  rename(from: { directory: Directory; name: string }, to: { directory: Directory; name: string }): void {
    const node = from.directory.entries.get(from.name);
    this.#change([
      { ...from, node: undefined },
      { ...to, node },
    ]);
  }

  /** The files of a folder go one by one, then the folder, as the calls of a recursive removal do. */
  remove(directory: Directory, name: string): void {
    const node = directory.entries.get(name);
    if (node === undefined) return;
    if (node.kind === 'directory') for (const below of [...node.entries.keys()]) this.remove(node, below);
    this.#change([{ directory, name, node: undefined }]);
  }

  /** All that was below `path` is gone, and `files` are there instead, on the platter too. */
  replaceContents(path: string, files: ReadonlyMap<string, Uint8Array>): void {
    const directory = this.find(path);
    if (directory?.kind !== 'directory') throw new Error(`${path} is no folder`);
    for (const name of [...directory.entries.keys()]) this.remove(directory, name);
    for (const [file, bytes] of files) {
      this.makeDirectory(file.slice(0, file.lastIndexOf('/')));
      const place = this.place(file);
      if (place === undefined) throw new Error(`${file} has no folder`);
      const node = this.create(place.directory, place.name);
      node.append(bytes);
      node.synced(node.pendingChanges);
    }
    for (const change of this.#journal) settle(change);
    this.#journal = [];
  }

  /** The names in `directory` are on the platter, with what they build on. */
  synced(directory: Directory): void {
    const needed = new Set<EntryChange>();
    for (const change of this.#journal.toReversed()) {
      const isBasis = change.some((step) => [...needed].some((later) => later.some((other) => sameName(step, other))));
      if (isBasis || change.some((step) => step.directory === directory)) needed.add(change);
    }
    for (const change of this.#journal) if (needed.has(change)) settle(change);
    this.#journal = this.#journal.filter((change) => !needed.has(change));
  }

  /** @returns how many changes of names were kept and lost. */
  losePower(random: SeededRandom): { readonly kept: number; readonly lost: number } {
    const journal = this.#journal;
    this.#journal = [];
    const keepChance = random.pick([0, 0.5, 0.9, 1]);
    const inOrder = random.chance(0.3);
    const lost: EntryChange[] = [];
    for (const change of journal) {
      const mayStay = inOrder
        ? lost.length === 0
        : !lost.some((gone) => gone.some((step) => change.some((other) => sameName(step, other))));
      if (mayStay && random.chance(keepChance)) settle(change);
      else lost.push(change);
    }
    restore(this.root);
    return { kept: journal.length - lost.length, lost: lost.length };
  }

  /** Every file that a process can see, by path, in the order of names. */
  *files(directory: Directory = this.root, above = ''): Generator<readonly [string, FileNode]> {
    for (const name of [...directory.entries.keys()].sort()) {
      const node = directory.entries.get(name);
      if (node?.kind === 'directory') yield* this.files(node, `${above}${name}/`);
      else if (node !== undefined) yield [`${above}${name}`, node];
    }
  }

  /** Of all files that a process can see. */
  usedBytes(directory: Directory = this.root): number {
    let used = 0;
    for (const node of directory.entries.values()) used += node.kind === 'file' ? node.size : this.usedBytes(node);
    return used;
  }

  /** Every file that a loss of power would leave for sure, by path. */
  *durableFiles(directory: Directory = this.root, above = ''): Generator<readonly [string, FileNode]> {
    for (const name of [...directory.durable.keys()].sort()) {
      const node = directory.durable.get(name);
      if (node?.kind === 'directory') yield* this.durableFiles(node, `${above}${name}/`);
      else if (node !== undefined) yield [`${above}${name}`, node];
    }
  }

  /** The files of one folder that a loss of power would leave for sure. */
  *durableFilesIn(path: string): Generator<readonly [string, FileNode]> {
    let node: Node | undefined = this.root;
    for (const name of namesOf(path)) node = node?.kind === 'directory' ? node.durable.get(name) : undefined;
    if (node?.kind !== 'directory') return;
    for (const [name, found] of node.durable) if (found.kind === 'file') yield [name, found];
  }

  #change(change: EntryChange): void {
    for (const { directory, name, node } of change) setEntry(directory.entries, name, node);
    this.#journal.push(change);
  }
}

export function namesOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw new Error(`a path of the simulated disk may not climb: ${path}`);
  return names;
}

function emptyDirectory(): Directory {
  return { kind: 'directory', entries: new Map(), durable: new Map() };
}

function setEntry(entries: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) entries.delete(name);
  else entries.set(name, node);
}

function settle(change: EntryChange): void {
  for (const { directory, name, node } of change) setEntry(directory.durable, name, node);
}

function sameName(a: EntryStep, b: EntryStep): boolean {
  return a.directory === b.directory && a.name === b.name;
}

/** After a loss of power processes see what is on the platter. */
function restore(directory: Directory): void {
  directory.entries.clear();
  for (const [name, node] of directory.durable) {
    directory.entries.set(name, node);
    if (node.kind === 'directory') restore(node);
  }
}
